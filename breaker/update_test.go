package breaker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
)

func update(t *testing.T, b *breaker.Breaker, s breaker.Settings) {
	t.Helper()
	if err := b.Update(s); err != nil {
		t.Fatal(err)
	}
}

func TestUpdate(t *testing.T) {
	const s = time.Second
	change := func(f func(*breaker.Settings)) breaker.Settings { return settings(steady, f) }
	for name, c := range map[string]struct {
		before breaker.Settings
		run    func(t *testing.T, b *breaker.Breaker)
	}{
		"an open circuit stays open for its period": {steady, func(t *testing.T, b *breaker.Breaker) {
			trip(t, b)
			update(t, b, change(func(st *breaker.Settings) { st.Window, st.Probes = 20*s, 1 }))
			time.Sleep(s - 1)
			wantState(t, b, breaker.Open)
			time.Sleep(time.Nanosecond)
			_ = call(t, b, nil)
			wantState(t, b, breaker.Closed) // one probe is enough now
		}},
		"an open period is cut to the new most": {change(func(st *breaker.Settings) { st.OpenFor = time.Hour }), func(t *testing.T, b *breaker.Breaker) {
			trip(t, b)
			update(t, b, change(func(st *breaker.Settings) { st.OpenFor, st.MaxOpenFor = s, 2*s }))
			time.Sleep(2*s - 1)
			wantState(t, b, breaker.Open)
			time.Sleep(time.Nanosecond)
			wantState(t, b, breaker.HalfOpen)
		}},
		"an event comes at the new end without traffic": {change(func(st *breaker.Settings) { st.OpenFor = time.Hour }), func(t *testing.T, b *breaker.Breaker) {
			trip(t, b)
			var r recorder
			b.Subscribe(r.take)
			update(t, b, change(func(st *breaker.Settings) { st.OpenFor, st.MaxOpenFor = s, s }))
			time.Sleep(s)
			synctest.Wait()
			if got := r.walk(); got == "" {
				t.Error("no event at the end of the shortened period")
			}
		}},
		"half-open ends with the probes it began with": {steady, func(t *testing.T, b *breaker.Breaker) {
			trip(t, b)
			time.Sleep(s)
			_ = call(t, b, nil)
			update(t, b, change(func(st *breaker.Settings) { st.Probes = 1 }))
			_ = call(t, b, nil)
			wantState(t, b, breaker.HalfOpen)
			_ = call(t, b, nil)
			wantState(t, b, breaker.Closed)
		}},
		"the window stays with other thresholds": {change(func(st *breaker.Settings) { st.MinCalls, st.Consecutive = 1000, -1 }), func(t *testing.T, b *breaker.Breaker) {
			for range 18 {
				_ = call(t, b, errDown)
			}
			update(t, b, change(func(st *breaker.Settings) { st.MinCalls, st.Consecutive = 19, -1 }))
			wantState(t, b, breaker.Closed)
			_ = call(t, b, errDown)
			wantState(t, b, breaker.Open)
		}},
		"another window begins empty": {change(func(st *breaker.Settings) { st.Consecutive = -1 }), func(t *testing.T, b *breaker.Breaker) {
			for range 19 {
				_ = call(t, b, errDown)
			}
			update(t, b, change(func(st *breaker.Settings) { st.Consecutive, st.Window = -1, 20*s }))
			if got := b.Counts(); got.Failures != 0 || got.ConsecutiveFailures != 19 {
				t.Errorf("counts %+v, want no failures and 19 in a row", got)
			}
			_ = call(t, b, errDown)
			wantState(t, b, breaker.Closed)
		}},
		"a call under way counts": {steady, func(t *testing.T, b *breaker.Breaker) {
			p := allow(t, b)
			update(t, b, change(func(st *breaker.Settings) { st.Window, st.Consecutive = 20*s, 1 }))
			if !p.Done(errDown) {
				t.Error("it did not count")
			}
			wantState(t, b, breaker.Open)
		}},
		"a probe under way closes": {change(func(st *breaker.Settings) { st.Probes = 1 }), func(t *testing.T, b *breaker.Breaker) {
			trip(t, b)
			time.Sleep(s)
			p := allow(t, b)
			update(t, b, change(func(st *breaker.Settings) { st.Window, st.HangAfter = 20*s, s }))
			if !p.Done(nil) {
				t.Error("the probe did not count")
			}
			wantState(t, b, breaker.Closed)
		}},
		"slow calls": {change(func(st *breaker.Settings) { st.SlowCall, st.Consecutive = time.Hour, 1 }), func(t *testing.T, b *breaker.Breaker) {
			p := allow(t, b)
			time.Sleep(2 * s)
			update(t, b, change(func(st *breaker.Settings) { st.SlowCall, st.Consecutive = s, 1 }))
			p.Done(nil)
			wantState(t, b, breaker.Open)
		}},
		"calls that hang are watched from now on": {change(func(st *breaker.Settings) { st.Consecutive = 1 }), func(t *testing.T, b *breaker.Breaker) {
			before := allow(t, b)
			update(t, b, change(func(st *breaker.Settings) { st.Consecutive, st.HangAfter = 1, s }))
			time.Sleep(2 * s)
			wantState(t, b, breaker.Closed)
			if before.Done(errDown) {
				t.Error("a call from before the watch counted")
			}
			_ = allow(t, b)
			time.Sleep(2 * s)
			_ = b.Counts()
			wantState(t, b, breaker.Open)
		}},
		"no watch, no hanging calls": {change(func(st *breaker.Settings) { st.Consecutive, st.HangAfter = 1, s }), func(t *testing.T, b *breaker.Breaker) {
			_ = allow(t, b)
			update(t, b, change(func(st *breaker.Settings) { st.Consecutive = 1 }))
			time.Sleep(time.Hour)
			_ = b.Counts()
			wantState(t, b, breaker.Closed)
		}},
		"a ramp ends at its new pace": {change(func(st *breaker.Settings) { st.Ramp = 10 * s }), func(t *testing.T, b *breaker.Breaker) {
			recovers(t, b)
			time.Sleep(5 * s)
			update(t, b, change(func(st *breaker.Settings) { st.Ramp = 2 * s }))
			time.Sleep(s)
			for range 1000 { // half of 2 s are over
				if err := call(t, b, nil); err != nil {
					t.Fatal(err)
				}
			}
		}},
		"no ramp, no refusals": {change(func(st *breaker.Settings) { st.Ramp = 10 * s }), func(t *testing.T, b *breaker.Breaker) {
			recovers(t, b)
			update(t, b, steady)
			for range 100 {
				if err := call(t, b, nil); err != nil {
					t.Fatal(err)
				}
			}
		}},
		"shadow and back keep the state": {steady, func(t *testing.T, b *breaker.Breaker) {
			trip(t, b)
			update(t, b, change(func(st *breaker.Settings) { st.Shadow = true }))
			wantState(t, b, breaker.Open)
			if p := allow(t, b); !p.Shadowed() {
				t.Error("the permit does not say that it would have been refused")
			}
			update(t, b, steady)
			if err := call(t, b, nil); !errors.Is(err, breaker.ErrOpen) {
				t.Errorf("after the shadow: %v", err)
			}
		}},
		"the operator's mode stays": {steady, func(t *testing.T, b *breaker.Breaker) {
			b.Force(breaker.ModeOpen)
			update(t, b, change(func(st *breaker.Settings) { st.Shadow = true }))
			if got := b.Mode(); got != breaker.ModeOpen {
				t.Errorf("mode %v, want open", got)
			}
			b.Force(breaker.ModeAuto)
			if got := b.Mode(); got != breaker.ModeShadow {
				t.Errorf("mode %v, want that of the settings, shadow", got)
			}
		}},
		"bad settings change nothing": {steady, func(t *testing.T, b *breaker.Breaker) {
			err := b.Update(breaker.Settings{Window: -1, Probes: -1, Consecutive: 1})
			if len(parts(err)) < 2 {
				t.Errorf("error %v, want all that is wrong", err)
			}
			_ = call(t, b, errDown)
			wantState(t, b, breaker.Closed)
			if got := b.Settings().Consecutive; got != 10 {
				t.Errorf("consecutive is %d, want 10", got)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t, mustNew(t, breaker.WithSettings(c.before))) })
		})
	}
}

// One breaker of a group is changed alone.
func TestUpdateOfOneInAGroup(t *testing.T) {
	g := newGroup(t, breaker.WithBreakers(breaker.WithSettings(steady)))
	update(t, g.Get("a"), breaker.Settings{Probes: 7})
	if got := g.Get("b").Settings().Probes; got != 3 {
		t.Errorf("the other one has %d probes, want 3", got)
	}
}

// A breaker in shadow by its settings is forgotten like any other.
func TestGroupForgetsShadows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, breaker.WithBreakers(breaker.WithSettings(breaker.Settings{Shadow: true})))
		_ = call(t, g.Get("a"), nil)
		time.Sleep(10 * time.Minute)
		if n := g.Len(); n != 0 {
			t.Errorf("%d left", n)
		}
	})
}

// For the race detector: calls, reads and updates at once.
func TestUpdateUnderLoad(t *testing.T) {
	b := mustNew(t, breaker.WithSettings(breaker.Settings{OpenFor: time.Millisecond, Ramp: time.Millisecond}))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = breaker.Do(t.Context(), b, func(context.Context) (int, error) {
					if (n>>6+i)&1 == 0 {
						return 0, errDown
					}
					return 0, nil
				})
				_, _ = b.State(), b.Counts()
			}
		})
	}
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			s := breaker.Settings{OpenFor: time.Millisecond, Probes: 1 + n%3, Ramp: time.Duration(n%2) * time.Millisecond, Shadow: n%5 == 0}
			s.Window = time.Duration(1+n%4) * time.Second
			s.HangAfter = time.Duration(n%3) * time.Millisecond
			s.SlowCall = time.Duration(n%2) * time.Millisecond
			if err := b.Update(s); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	update(t, b, breaker.Settings{OpenFor: time.Millisecond, Ramp: -1, SlowCall: time.Hour})
	deadline := time.Now().Add(10 * time.Second)
	for b.State() != breaker.Closed && time.Now().Before(deadline) {
		_ = call(t, b, nil)
		time.Sleep(time.Millisecond)
	}
	wantState(t, b, breaker.Closed)
}
