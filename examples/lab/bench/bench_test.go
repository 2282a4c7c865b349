package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
)

// coin is an experiment that is over at once.
func coin(run func(context.Context, bench.Run) ([]bench.Row, error)) []bench.Experiment {
	if run == nil {
		run = func(_ context.Context, r bench.Run) ([]bench.Row, error) {
			var rows []bench.Row
			for _, p := range r.Policies {
				row := bench.Row{Policy: p, Success: new(0.5), P99: bench.Ms(1500 * time.Microsecond), RecoveryS: new(-1.0), Note: "lucky"}
				row.Add("to_slow", float64(r.Seed))
				row.AddShare("within_20ms", 0.25)
				rows = append(rows, row)
			}
			return rows, nil
		}
	}
	return []bench.Experiment{{
		Name: "coin", Title: "a coin is tossed", About: "Heads or tails.\n\nNo difference & no surprise.",
		Policies: []string{"heads-up", "tails"}, Run: run,
		Published: []bench.Published{
			{Policy: "heads-up", Figures: "50 %", Source: "Bernoulli 1713"},
			{Policy: "edge", Figures: "once in 6000", Source: "Murray 1993"},
		},
	}}
}

func run(t *testing.T, all []bench.Experiment, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = bench.Main(t.Context(), args, &out, &errs, all)
	return status, out.String(), errs.String()
}

func TestCommandLine(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		status int
		stdout []string
		stderr []string
	}{
		"list":          {nil, 0, []string{"coin  ", "a coin is tossed"}, nil},
		"help":          {[]string{"-h"}, 0, []string{"usage:", "a coin is tossed", "-seed number"}, nil},
		"about one":     {[]string{"coin", "-h"}, 0, []string{"Heads or tails.", "heads-up, tails", "-policy names"}, nil},
		"help for one":  {[]string{"-h", "coin"}, 0, []string{"Heads or tails."}, nil},
		"text":          {[]string{"coin"}, 0, []string{"50.00 %", "never", "    [1] 50 %", "[2] edge: once in 6000", "[1] Bernoulli", "lucky"}, nil},
		"one policy":    {[]string{"-policy", "tails", "coin", "-seed=7"}, 0, []string{"(seed 7)", "tails"}, nil},
		"unknown":       {[]string{"dice"}, 2, nil, []string{`no experiment "dice", only coin`}},
		"two":           {[]string{"coin", "dice"}, 2, nil, []string{`not also "dice"`}},
		"no such way":   {[]string{"coin", "-policy", "tails,edge"}, 2, nil, []string{`no policy "edge", only heads-up, tails`}},
		"no such form":  {[]string{"coin", "-format", "pdf"}, 2, nil, []string{`"pdf": must be text, json or svg`}},
		"no such flag":  {[]string{"coin", "-fast"}, 2, nil, []string{"-fast", "see lab -h"}},
		"seed is words": {[]string{"coin", "-seed", "x"}, 2, nil, []string{"invalid value"}},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := run(t, coin(nil), tc.args...)
			if status != tc.status {
				t.Errorf("exit status %d, want %d; stderr %q", status, tc.status, stderr)
			}
			for _, want := range tc.stdout {
				if !strings.Contains(stdout, want) {
					t.Errorf("stdout has no %q:\n%s", want, stdout)
				}
			}
			for _, want := range tc.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr has no %q:\n%s", want, stderr)
				}
			}
			if len(tc.stdout) == 0 && stdout != "" {
				t.Errorf("stdout is %q, want nothing", stdout)
			}
			for line := range strings.Lines(stdout) {
				if len([]rune(line)) > 101 {
					t.Errorf("%d columns: %s", len([]rune(line))-1, line)
				}
			}
		})
	}
}

func TestJSON(t *testing.T) {
	status, stdout, _ := run(t, coin(nil), "coin", "-format", "json", "-seed", "3", "-policy", "tails")
	want := `[
  {"policy":"tails","success":0.5,"p99_ms":1.5,"recovery_s":-1,"note":"lucky","to_slow":3,"within_20ms":0.25}
]
`
	if status != 0 || stdout != want {
		t.Errorf("exit status %d and\n%s\nwant\n%s", status, stdout, want)
	}
}

func TestNoRowsIsAnArray(t *testing.T) {
	nothing := func(context.Context, bench.Run) ([]bench.Row, error) { return nil, nil }
	_, stdout, _ := run(t, coin(nothing), "coin", "-format", "json")
	var rows []any
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil || rows == nil || len(rows) != 0 {
		t.Errorf("got %q, want an empty array", stdout)
	}
}

// A chart is well-formed XML, for bars and for lines.
func TestSVG(t *testing.T) {
	for name, loads := range map[string][]float64{"bars": {0}, "lines": {0.5, 1}} {
		t.Run(name, func(t *testing.T) {
			f := func(_ context.Context, r bench.Run) (rows []bench.Row, _ error) {
				for _, p := range r.Policies {
					for i, l := range loads {
						rows = append(rows, bench.Row{Policy: p, Load: l, P50: new(1 + 1000*float64(i)), RecoveryS: new(-1.0), Success: new(0.0)})
					}
				}
				return rows, nil
			}
			_, stdout, _ := run(t, coin(f), "coin", "-format", "svg")
			d := xml.NewDecoder(strings.NewReader(stdout))
			for {
				_, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%v in\n%s", err, stdout)
				}
			}
			for _, want := range []string{"heads-up", "tails", "p50 ms"} {
				if !strings.Contains(stdout, want) {
					t.Errorf("no %q in\n%s", want, stdout)
				}
			}
			if strings.Contains(stdout, "NaN") || strings.Contains(stdout, "Inf") {
				t.Errorf("no number in\n%s", stdout)
			}
		})
	}
}

func TestFailure(t *testing.T) {
	fails := func(context.Context, bench.Run) ([]bench.Row, error) { return nil, errors.New("the coin is lost") }
	status, stdout, stderr := run(t, coin(fails), "coin")
	if status != 1 || stdout != "" || !strings.Contains(stderr, "lab: coin: the coin is lost") {
		t.Errorf("exit status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	waits := func(ctx context.Context, _ bench.Run) ([]bench.Row, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var stdout, stderr bytes.Buffer
	if status := bench.Main(ctx, []string{"coin"}, &stdout, &stderr, coin(waits)); status != 130 || stdout.Len() > 0 {
		t.Errorf("exit status %d, stdout %q, want 130 and nothing", status, &stdout)
	}
}

// Progress is shown as it is when a line is due, whatever clock those who tell
// it live by.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		talks := func(_ context.Context, r bench.Run) ([]bench.Row, error) {
			for i := range 1100 {
				r.Tell("step %d", i)
				time.Sleep(10 * time.Millisecond)
			}
			return nil, nil
		}
		_, _, stderr := run(t, coin(talks), "coin", "-quick")
		if n := strings.Count(stderr, "\n"); n != 2 || !strings.Contains(stderr, "coin, 10 s: step ") || strings.ContainsAny(stderr, "\r\x1b") {
			t.Errorf("got %q, want a line at 5 s and one at 10 s", stderr)
		}
	})
}

func TestEach(t *testing.T) {
	items := make([]int, 100)
	for i := range items {
		items[i] = i
	}
	double := func(_ context.Context, i int) (int, error) { return 2 * i, nil }
	got, err := bench.Each(t.Context(), items, double)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if v != 2*i {
			t.Errorf("result %d is %d, want %d", i, v, 2*i)
		}
	}
	broken := errors.New("broken")
	if _, err := bench.Each(t.Context(), items, func(ctx context.Context, i int) (int, error) {
		if i == 3 {
			return 0, broken
		}
		return i, ctx.Err()
	}); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bench.Each(ctx, items, double); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
