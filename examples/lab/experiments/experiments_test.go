package experiments

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/examples/lab/bench"
)

// lab runs the command line and returns its JSON.
func lab(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := bench.Main(t.Context(), append(args, "-format", "json", "-quick"), &stdout, &stderr, All()); status != 0 {
		t.Fatalf("%v: exit status %d: %s", args, status, &stderr)
	}
	var rows []map[string]any
	if err := json.Unmarshal(stdout.Bytes(), &rows); err != nil {
		t.Fatalf("%v: %v in\n%s", args, err, &stdout)
	}
	return rows
}

// quick holds the rows of whole experiments, which several tests look at. Tests
// of this package do not run at the same time.
var quick = map[string][]map[string]any{}

// long are experiments on the simulator that take minutes with the race
// detector. Its one goroutine, and all that runs in it, is raced in package sim.
var long = []string{"beyond-round-robin", "prequal", "metastable", "overload", "tail-at-scale"}

// rowsOf returns all rows of the experiment.
func rowsOf(t *testing.T, name string) []map[string]any {
	t.Helper()
	if RaceEnabled && slices.Contains(long, name) {
		t.Skip("takes minutes with the race detector")
	}
	if quick[name] == nil {
		quick[name] = lab(t, name)
	}
	return slices.Clone(quick[name])
}

// figures maps policy, or policy and variant, to one figure.
func figures(t *testing.T, rows []map[string]any, name string) map[string]float64 {
	t.Helper()
	m := map[string]float64{}
	for _, r := range rows {
		key := r["policy"].(string)
		if v, ok := r["variant"]; ok {
			key += " " + v.(string)
		}
		v, ok := r[name].(float64)
		if !ok {
			t.Fatalf("row %v has no %s", r, name)
		}
		m[key] = v
	}
	return m
}

var kebab, snake = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`), regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)

// checkContract holds rows to what other programs rely on.
func checkContract(t *testing.T, e bench.Experiment, rows []map[string]any) {
	t.Helper()
	for _, r := range rows {
		if p, _ := r["policy"].(string); !kebab.MatchString(p) || !slices.Contains(e.Policies, p) {
			t.Errorf("policy %q, want one of %v", p, e.Policies)
		}
		for name, v := range r {
			if !snake.MatchString(name) {
				t.Errorf("field %q is not in snake_case", name)
			}
			x, number := v.(float64)
			share := name == "success" || name == "goodput"
			if share && (x < 0 || x > 1) || number && x < 0 && name != "recovery_s" || x < -1 {
				t.Errorf("%v: %s is %v", r["policy"], name, v)
			}
		}
	}
	for _, c := range slices.Concat(e.Columns, e.Chart) {
		if !slices.ContainsFunc(rows, func(r map[string]any) bool { return r[c] != nil }) {
			t.Errorf("no row has %s", c)
		}
	}
}

// mine are the experiments that run in the simulator or by computation alone,
// the ones whose tests are here.
func mine() []bench.Experiment {
	return []bench.Experiment{BeyondRoundRobin(), Prequal(), Metastable(), Overload(), Subsetting(), TailAtScale(), Jitter()}
}

// Every experiment keeps the contract, and gives the same rows again, also
// where it runs one policy alone.
func TestRowsRepeat(t *testing.T) {
	for _, e := range mine() {
		t.Run(e.Name, func(t *testing.T) {
			rows := rowsOf(t, e.Name)
			checkContract(t, e, rows)
			p := e.Policies[len(e.Policies)-1]
			want := slices.DeleteFunc(rows, func(r map[string]any) bool { return r["policy"] != p })
			got := lab(t, e.Name, "-policy", p)
			if a, b := text(t, got), text(t, want); a != b {
				t.Errorf("alone\n%s\namong others\n%s", a, b)
			}
		})
	}
}

func text(t *testing.T, rows []map[string]any) string {
	t.Helper()
	b, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDescriptions(t *testing.T) {
	var names []string
	for _, e := range All() {
		if !kebab.MatchString(e.Name) || slices.Contains(names, e.Name) {
			t.Errorf("name %q is not in kebab-case or not the only one", e.Name)
		}
		names = append(names, e.Name)
		if e.Title == "" || len(e.Title) > 64 || e.About == "" || e.Takes == 0 || len(e.Policies) == 0 {
			t.Errorf("%s: title %q, about %d bytes, takes %v, %d policies", e.Name, e.Title, len(e.About), e.Takes, len(e.Policies))
		}
		for _, p := range e.Published {
			if p.Figures == "" || p.Source == "" || p.Policy == "" {
				t.Errorf("%s: published %+v is not complete", e.Name, p)
			}
		}
	}
}

func TestPolicyThatIsNotThere(t *testing.T) {
	var stdout, stderr bytes.Buffer
	status := bench.Main(t.Context(), []string{"beyond-round-robin", "-policy", "prequal"}, &stdout, &stderr, All())
	if status != 2 || !strings.Contains(stderr.String(), "round-robin, random, p2c-least-request, p2c-peak-ewma, gabion") {
		t.Errorf("exit status %d, %q", status, &stderr)
	}
}
