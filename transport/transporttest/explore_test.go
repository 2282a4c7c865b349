package transporttest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// planted is what a test that is meant to fail looks for in its environment.
const planted = "GABION_TEST_PLANTED"

// culprit breaks the service; it is planted among harmless faults.
var culprit = transporttest.Fault{Kind: transporttest.Status, Status: 500, On: "pricing", At: time.Second, For: 2 * time.Second}

// lucky is a scenario with nine faults that do no harm.
func lucky(seed uint64) transporttest.Scenario {
	return transporttest.Scenario{
		Services: []transporttest.ServiceSpec{
			{Name: "stock", Replicas: 2},
			{Name: "pricing", Replicas: 3, Behaviour: transporttest.Behaviour{Work: dist.Constant(time.Millisecond)}},
		},
		Loads: []load.Load{
			{Client: "batch", Service: "stock", Rate: 5, For: 3 * time.Second},
			{Client: "web", Service: "pricing", Rate: 20, For: 3 * time.Second},
		},
		Faults: transporttest.RandomFaults(seed, 9, transporttest.FaultSpace{
			On: []string{"stock-1", "pricing-2"}, Until: 3 * time.Second, Longest: time.Second,
			Kinds: []transporttest.Kind{transporttest.ClockJump, transporttest.Refuse}, Links: [][2]string{{"web", "stock-2"}},
		}),
	}
}

// unlucky is a scenario that fails with every seventh seed, and then because of
// one of its ten faults.
func unlucky(seed uint64) transporttest.Scenario {
	s := lucky(seed)
	if seed%7 == 0 {
		s.Faults = append(s.Faults[:4:4], append([]transporttest.Fault{culprit}, s.Faults[4:]...)...)
	}
	return s
}

func allGood(r *report.Report) error {
	if r.Success != 1 { // which is 0 without calls
		return fmt.Errorf("%d of %d calls failed: %v", r.Calls-r.OK, r.Calls, r.Errors)
	}
	return nil
}

func TestExplore(t *testing.T) {
	var mu sync.Mutex
	reports := map[uint64]int{}
	transporttest.Explore(t, 6, lucky, func(r *report.Report) error {
		mu.Lock()
		defer mu.Unlock()
		reports[r.Seed]++
		return allGood(r)
	})
	if len(reports) != 6 && os.Getenv(transporttest.SeedVariable) == "" {
		t.Errorf("reports of seeds %v, want 1 to 6", reports)
	}
}

// The tests called TestPlanted fail on purpose, when they are asked to.

func TestPlantedExplore(t *testing.T) {
	skipUnlessAsked(t)
	transporttest.Explore(t, 30, unlucky, allGood)
}

func TestPlantedSeeds(t *testing.T) {
	skipUnlessAsked(t)
	transporttest.Seeds(t, 30, func(seed uint64) []transporttest.Fault { return unlucky(seed).Faults },
		func(tb testing.TB, n *transporttest.Network, faults []transporttest.Fault) {
			n.Serve("stock", 2, hello)
			n.Serve("pricing", 3, hello)
			n.Host("web")
			n.Fault(faults...)
			if err := allGood(n.Run(load.Load{Client: "web", Service: "pricing", Rate: 20, For: 3 * time.Second})); err != nil {
				tb.Fatal(err)
			}
		})
}

func TestPlantedPanic(t *testing.T) {
	skipUnlessAsked(t)
	transporttest.Explore(t, 5, unlucky, func(r *report.Report) error {
		if r.Seed == 3 {
			panic("the check is broken")
		}
		return nil
	})
}

func TestPlantedDeadlock(t *testing.T) {
	skipUnlessAsked(t)
	transporttest.Seeds(t, 5, func(uint64) []transporttest.Fault { return nil },
		func(_ testing.TB, n *transporttest.Network, _ []transporttest.Fault) {
			if n.Seed() == 3 {
				select {}
			}
		})
}

// A goroutine of a client that panics ends the process.
func TestPlantedCrash(t *testing.T) {
	skipUnlessAsked(t)
	via := func(*transporttest.Process) http.RoundTripper { return broken{} }
	transporttest.Explore(t, 1, unlucky, allGood, transporttest.WithVia(via))
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { panic("the client is broken") }

func TestPlantedRun(t *testing.T) {
	skipUnlessAsked(t)
	if err := allGood(unlucky(7).Run(t)); err != nil {
		t.Error(err)
	}
}

func TestPlantedInvalid(t *testing.T) {
	skipUnlessAsked(t)
	transporttest.Explore(t, 1, func(uint64) transporttest.Scenario { return transporttest.Scenario{} }, allGood)
}

func TestPlantedNone(t *testing.T) {
	skipUnlessAsked(t)
	transporttest.Explore(t, 0, unlucky, allGood)
}

func skipUnlessAsked(t *testing.T) {
	t.Helper()
	if os.Getenv(planted) == "" {
		t.Skip("fails on purpose when TestExploreFailures runs it")
	}
}

// goTest runs a test of this binary by itself and returns what it prints.
func goTest(t *testing.T, name string, env ...string) (out string, failed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", name, "-test.v", "-test.timeout", "60s")
	cmd.Env = append(os.Environ(), planted+"=1", transporttest.SeedVariable+"=", transporttest.ShrinkVariable+"=")
	cmd.Env = append(cmd.Env, env...)
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(b), err != nil
}

func TestExploreFailures(t *testing.T) {
	const pkg = "github.com/gabion-go/gabion/transport/transporttest"
	for name, tc := range map[string]struct {
		env   []string
		wants []string
		not   string
	}{
		"TestPlantedExplore": {nil, []string{
			"--- FAIL: TestPlantedExplore/seed=7", "check: ", "calls failed: map[500:",
			"seed 7; again: GABION_SEED=7 go test -run '^TestPlantedExplore$' " + pkg + "\n",
			"fault pricing (status pricing 500", "ok, x failed", // the timeline
			"with GABION_SHRINK=1", "seed 7 fails, and none below it",
		}, "seed=12"},
		"TestPlantedSeeds": {nil, []string{
			"--- FAIL: TestPlantedSeeds/seed=7", "again: GABION_SEED=7 go test -run '^TestPlantedSeeds$' " + pkg + "\n", "calls failed: map[500:",
		}, "seed=12"},
		"TestPlantedPanic": {nil, []string{
			"panic: the check is broken", "explore_test.go:", "GABION_SEED=3 go test -run '^TestPlantedPanic$'",
		}, "with GABION_SEED=3"},
		"TestPlantedDeadlock": {nil, []string{
			"deadlock: all goroutines in bubble are blocked; of its goroutines are\n", "TestPlantedDeadlock.func2", "explore_test.go:", "GABION_SEED=3 go test -run '^TestPlantedDeadlock$'",
		}, ""},
		"TestPlantedCrash": {[]string{"GODEBUG=tracebacklabels=1"}, []string{
			"panic: the client is broken", `"seed": "1"`, `"test": "TestPlantedCrash"`,
		}, ""},
		"TestPlantedRun":     {nil, []string{"calls failed: map[500:", "fault pricing (status pricing 500"}, ""},
		"TestPlantedNone":    {nil, []string{"transporttest: 0 seeds: want at least one"}, "fails, and none below"},
		"TestPlantedInvalid": {nil, []string{"the scenario of seed 1: transporttest: scenario: services: want at least one"}, "again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, failed := goTest(t, "^"+name+"$", tc.env...)
			if !failed {
				t.Errorf("the test passes, want it to fail")
			}
			for _, want := range tc.wants {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in the output", want)
				}
			}
			if tc.not != "" && strings.Contains(out, tc.not) {
				t.Errorf("%q is in the output", tc.not)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

func TestReplay(t *testing.T) {
	out, failed := goTest(t, "^TestPlantedExplore$", "GABION_SEED=14")
	if !failed || !strings.Contains(out, "=== RUN   TestPlantedExplore/seed=14\n") || strings.Count(out, "=== RUN   TestPlantedExplore/seed=") != 1 {
		t.Errorf("want seed 14 alone to run, and to fail:\n%s", out)
	}
	if out, failed = goTest(t, "^TestPlantedExplore$", "GABION_SEED=13"); failed {
		t.Errorf("seed 13 fails:\n%s", out)
	}
	out, failed = goTest(t, "^TestPlantedExplore$", "GABION_SEED=today")
	if want := `GABION_SEED="today": want a number from 0 to 2^64-1`; !failed || !strings.Contains(out, want) {
		t.Errorf("want %s:\n%s", want, out)
	}
	out, failed = goTest(t, "^TestPlantedExplore$", "GABION_SHRINK=yes")
	if want := `GABION_SHRINK="yes": want 1 or 0`; !failed || !strings.Contains(out, want) {
		t.Errorf("want %s:\n%s", want, out)
	}
}

var jsonInLog = regexp.MustCompile(`(?s)smallest part that fails:\n(.*?)\n\n`)

// shrunk returns what a failing test says to be the smallest part, and the whole
// log of it.
func shrunk[T any](t *testing.T, name string) (least T, out string) {
	t.Helper()
	out, failed := goTest(t, name, "GABION_SHRINK=1", "GABION_SEED=7")
	out = strings.ReplaceAll(out, "\n        ", "\n") // the indentation of logs
	found := jsonInLog.FindStringSubmatch(out)
	if !failed || found == nil {
		t.Fatalf("want a failure and what it was shrunk to:\n%s", out)
	}
	if err := json.Unmarshal([]byte(found[1]), &least); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return least, out
}

func TestShrink(t *testing.T) {
	s, out := shrunk[transporttest.Scenario](t, "^TestPlantedExplore$")
	want := culprit
	if len(s.Faults) == 1 {
		want.For = s.Faults[0].For
	}
	if len(s.Faults) != 1 || s.Faults[0].String() != want.String() || want.For >= time.Second {
		t.Errorf("faults %v, want a short form of %v", s.Faults, culprit)
	}
	if len(s.Loads) != 1 || s.Loads[0].Client != "web" {
		t.Errorf("loads %+v, want that of web", s.Loads)
	}
	if len(s.Services) != 1 || s.Services[0].Replicas != 1 {
		t.Errorf("services %+v, want one with one replica", s.Services)
	}
	for _, want := range []string{
		"shrunk from 10 faults to 1 in ", "transporttest.Scenario{", `Services: []transporttest.ServiceSpec{`,
		`{Kind: "status", On: "pricing", At: time.Second, For: `, "Seed: 7,", "For: 1500 * time.Millisecond",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in the log", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	if err := allGood(mustDo(t, s)); err == nil {
		t.Error("what was printed does not fail when it is run")
	}
	if again, _ := shrunk[transporttest.Scenario](t, "^TestPlantedExplore$"); !reflect.DeepEqual(again, s) {
		t.Errorf("shrunk to %+v, and then to %+v", s, again)
	}
}

func mustDo(t *testing.T, s transporttest.Scenario) *report.Report {
	t.Helper()
	r, err := s.Do()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestShrinkSeeds(t *testing.T) {
	faults, out := shrunk[[]transporttest.Fault](t, "^TestPlantedSeeds$")
	if len(faults) != 1 || faults[0].Kind != culprit.Kind || faults[0].For >= time.Second {
		t.Errorf("faults %v, want a short form of %v\n%s", faults, culprit, out)
	}
}

// The same seed gives the same trace also in a scenario, with services that are
// plain data.
func TestScenarioIsDeterministic(t *testing.T) {
	var traces [2]bytes.Buffer
	for i := range traces {
		r := full().Run(t, transporttest.WithOptions(transporttest.WithTrace(true)))
		if err := r.Trace(&traces[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(traces[0].Bytes(), traces[1].Bytes()) {
		t.Errorf("the traces differ: %s", firstDifference(traces[0].Bytes(), traces[1].Bytes()))
	}
}
