package experiments

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// near reports whether got is within 10 % of want.
func near(got, want float64) bool { return math.Abs(got-want) <= 0.1*want }

// The set-up is known in full, so the figures are the published ones, and
// failures are near as well as successes.
func TestBeyondRoundRobin(t *testing.T) {
	rows := rowsOf(t, "beyond-round-robin")
	success, slow := figures(t, rows, "success"), figures(t, rows, "to_slow")
	for key, want := range map[string]struct{ failed, slow float64 }{
		"round-robin 2s":  {0.0455, 2728},
		"round-robin 10x": {0.0455, 2728},
	} {
		if !near(1-success[key], want.failed) || !near(slow[key], want.slow) {
			t.Errorf("%s: %.4f failed, %.0f to the slow server, want %.4f and %.0f", key, 1-success[key], slow[key], want.failed, want.slow)
		}
	}
	for _, variant := range []string{" 2s", " 10x"} {
		if s := slow["p2c-least-request"+variant]; s < 270*0.9 || s > 351*1.1 {
			t.Errorf("p2c%s: %.0f to the slow server, want 270 to 351", variant, s)
		}
		if f := 1 - success["p2c-least-request"+variant]; f < 0.0051*0.9 || f > 0.0059*1.1 {
			t.Errorf("p2c%s: %.4f failed, want 0.0051 to 0.0059", variant, f)
		}
		for _, policy := range []string{"p2c-peak-ewma", "gabion"} {
			if s, f := slow[policy+variant], 1-success[policy+variant]; s > 60 || f > 0.0010 {
				t.Errorf("%s%s: %.4f failed, %.0f to the slow server, want at most 0.0010 and 60", policy, variant, f, s)
			}
		}
	}
}

// Counting requests is better than not.
func TestPrequal(t *testing.T) {
	rows := rowsOf(t, "prequal")
	for _, load := range []float64{0.9, 1.27} {
		step := slices.DeleteFunc(slices.Clone(rows), func(r map[string]any) bool { return r["load"] != load })
		p99, success := figures(t, step, "p99_ms"), figures(t, step, "success")
		for _, policy := range []string{"p2c-least-request", "p2c-peak-ewma", "gabion"} {
			if p99[policy+" A=2"] >= p99["round-robin A=2"] || success[policy+" A=2"] <= success["round-robin A=2"] {
				t.Errorf("load %v: p99 %v, success %v, want round robin behind %s", load, p99, success, policy)
			}
		}
	}
}

func TestMetastable(t *testing.T) {
	rows := rowsOf(t, "metastable")
	recovery, late, store := figures(t, rows, "recovery_s"), figures(t, rows, "goodput_late"), figures(t, rows, "store_per_s")
	for policy, perSecond := range map[string]float64{"one-retry": 560, "three-retries": 1120} {
		if recovery[policy] != -1 || late[policy] > 0.01 || !near(store[policy], perSecond) {
			t.Errorf("%s: recovery %v s, goodput late %v, %v a second, want never, none, and %v",
				policy, recovery[policy], late[policy], store[policy], perSecond)
		}
	}
	for policy, want := range map[string]struct{ recovery, late float64 }{ // of the one seed of a quick run
		"no-retries": {151, 0.999}, "success-budget": {151, 0.999},
		"gabion": {2, 0.999}, "gabion-shedding": {3, 0.99}, // recovery is in whole seconds
	} {
		if r := recovery[policy]; r < 0 || r > want.recovery || late[policy] < want.late {
			t.Errorf("%s: recovery %v s, goodput late %v, want at most %v s and at least %v",
				policy, r, late[policy], want.recovery, want.late)
		}
	}
	if recovery["gabion"] >= recovery["no-retries"] {
		t.Errorf("recovery %v s with a breaker, %v s without", recovery["gabion"], recovery["no-retries"])
	}
}

// The adaptive limit finds what the server can do, and keeps waiting short. What
// it finds by itself is less of a small server, whose workers run dry more
// easily behind a short line.
func TestOverload(t *testing.T) {
	rows := rowsOf(t, "overload")
	goodput, ratio := figures(t, rows, "goodput"), figures(t, rows, "p99_ratio")
	for variant, want := range map[string]struct{ goodput, ratio float64 }{ // of the one seed of a quick run
		" 8 workers": {0.935, 1.1}, " 32 workers": {0.975, 1.25}, " 8 cores": {0.965, 1.75},
	} {
		if g, r := goodput["gabion"+variant], ratio["gabion"+variant]; g < want.goodput || r > want.ratio {
			t.Errorf("%s: goodput %v of what the server can do, p99 %v times that without load, want at least %v and at most %v",
				variant, g, r, want.goodput, want.ratio)
		}
		if r := ratio["no-limit"+variant]; r < 20 {
			t.Errorf("%s: p99 %v times that without load, and no limit", variant, r)
		}
	}
}

func TestSubsetting(t *testing.T) {
	rows := rowsOf(t, "subsetting")
	least, most := figures(t, rows, "fewest"), figures(t, rows, "most")
	changed, atMost := figures(t, rows, "changed_per_client"), figures(t, rows, "most_changed")
	for key, want := range map[string][2]float64{ // published ones are even
		"deterministic 10 of 300":              {10, 10},
		"deterministic 10 of 300, 295 clients": {9, 10},
		"deterministic 3 of 12":                {2, 3},
	} {
		if least[key] != want[0] || most[key] != want[1] {
			t.Errorf("%s: %v to %v connections, want %v to %v", key, least[key], most[key], want[0], want[1])
		}
	}
	for key, want := range map[string][2]float64{
		"random 90 of 300": {57, 109}, "random 30 of 300": {15, 45}, "rendezvous 10 of 300": {3, 21},
	} {
		if math.Abs(least[key]-want[0]) > 0.15*want[1] || math.Abs(most[key]-want[1]) > 0.15*want[1] {
			t.Errorf("%s: %v to %v connections, want about %v to %v", key, least[key], most[key], want[0], want[1])
		}
	}
	if c := changed["deterministic 10 of 300, 295 clients"]; !near(c, 9.48) {
		t.Errorf("deterministic: %v change, want about 9.48", c)
	}
	if c := changed["rendezvous 10 of 300"]; c > 0.06 || atMost["rendezvous 10 of 300"] != 1 {
		t.Errorf("rendezvous: %v change, at most %v, want 1/30 and 1", c, atMost["rendezvous 10 of 300"])
	}
	for key := range most {
		policy, _, _ := strings.Cut(key, " ")
		if policy == "gabion" && most[key]-least[key] > 1 {
			t.Errorf("%s: %v to %v connections, want a difference of 1", key, least[key], most[key])
		}
		if strings.HasPrefix(policy, "gabion") && atMost[key] != 1 {
			t.Errorf("%s: a client changes %v connections, want 1", key, atMost[key])
		}
	}
}

func TestTailAtScale(t *testing.T) {
	rows := rowsOf(t, "tail-at-scale")
	above := figures(t, rows, "above_1s")
	if got := above["p2c-least-request fan-out 100"]; !near(got, 0.63) {
		t.Errorf("%.3f of the users' requests above 1 s, want about 0.63", got)
	}
	if got := above["p2c-least-request fan-out 1"]; got > 0.03 {
		t.Errorf("%.3f of single calls above 1 s, want about 0.01", got)
	}
	tail, extra := figures(t, rows, "p999_ms"), figures(t, rows, "extra_requests")
	const rare = " fan-out 100, 1 in 1000"
	if got, without := tail["gabion-hedging"+rare], tail["gabion"+rare]; got > without/10 {
		t.Errorf("p99.9 %v ms with hedges, %v ms without", got, without)
	}
	for variant, e := range extra {
		if e > 0.02 {
			t.Errorf("%s: %v extra requests a call", variant, e)
		}
	}
}

// What the article's program came to with 100 clients.
func TestJitter(t *testing.T) {
	rows := slices.DeleteFunc(rowsOf(t, "jitter"), func(r map[string]any) bool { return r["load"] != 100.0 })
	writes, done := figures(t, rows, "writes"), figures(t, rows, "done_ms")
	for policy, want := range map[string]struct{ writes, done float64 }{
		"none": {2422, 2021}, "exponential": {1846, 62719}, "equal": {812, 6612}, "full": {796, 4855}, "decorrelated": {1000, 4571},
	} {
		if !near(writes[policy], want.writes) || !near(done[policy], want.done) {
			t.Errorf("%s: %.0f writes in %.0f ms, want about %.0f in %.0f", policy, writes[policy], done[policy], want.writes, want.done)
		}
	}
}
