package limit_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/limit"
)

func newThrottle(t testing.TB, p limit.ThrottlePolicy) *limit.Throttle {
	t.Helper()
	p.On = true
	th, err := limit.NewThrottle(p)
	if err != nil {
		t.Fatal(err)
	}
	return th
}

// A throttled client calls a service that answers at once.
type throttled struct {
	throttle *limit.Throttle
	draw     *random.Seeded
	accept   func() bool
}

// call makes so many calls, evenly over d, and returns how many were sent and
// how many of them accepted.
func (c *throttled) call(n int, d time.Duration) (sent, accepted int) {
	for range n {
		time.Sleep(d / time.Duration(n))
		if !c.throttle.Allow(c.draw) {
			continue
		}
		sent++
		ok := c.accept()
		if ok {
			accepted++
		}
		c.throttle.Done(ok)
	}
	return sent, accepted
}

func always(ok bool) func() bool { return func() bool { return ok } }

// capacity accepts so many calls in each second.
func capacity(perSecond int) func() bool {
	left, began := perSecond, time.Now()
	return func() bool {
		if time.Since(began) >= time.Second {
			left, began = perSecond, time.Now()
		}
		left--
		return left >= 0
	}
}

// The share that is held back by each of the classic cases, after a minute of
// 100 calls a second.
func TestThrottleShare(t *testing.T) {
	for name, tc := range map[string]struct {
		k        float64
		accept   func() bool
		min, max float64 // calls sent, of 100 a second
	}{
		"healthy":                  {0, always(true), 100, 100},
		"half fails, K 2":          {0, half(), 95, 100},
		"half fails, K 1.1":        {1.1, half(), 0, 20}, // below K nothing is in balance
		"outage":                   {0, always(false), 0.9, 1.6},
		"a tenth can be served":    {0, nil, 18, 24},
		"a tenth, K 1.2":           {1.2, nil, 11, 15},
		"outage, K as high as can": {100, always(false), 0.9, 1.6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &throttled{newThrottle(t, limit.ThrottlePolicy{K: tc.k}), random.New(seed), tc.accept}
				if c.accept == nil {
					c.accept = capacity(10)
				}
				c.call(6000, time.Minute)
				sent, accepted := c.call(6000, time.Minute)
				perSecond := float64(sent) / 60
				t.Logf("%.1f sent, %.1f accepted a second", perSecond, float64(accepted)/60)
				if perSecond < tc.min || perSecond > tc.max {
					t.Errorf("%.2f of 100 calls a second sent, want %v to %v", perSecond, tc.min, tc.max)
				}
			})
		})
	}
}

// half accepts every other call.
func half() func() bool {
	ok := false
	return func() bool { ok = !ok; return ok }
}

// With nothing accepted in the window the formula holds everything back; the
// probes notice the recovery all the same, and load comes back by factors and
// not in one step.
func TestThrottleRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &throttled{newThrottle(t, limit.ThrottlePolicy{}), random.New(seed), always(false)}
		c.call(60_000, time.Minute)
		if p := c.throttle.Rejecting(); p < 0.999 {
			t.Fatalf("rejecting %v in an outage", p)
		}
		c.accept = always(true)
		last := 20
		for second := range 15 {
			sent, _ := c.call(1000, time.Second)
			t.Logf("second %d: %d sent", second, sent)
			if sent > max(40, 8*last) {
				t.Errorf("second %d: %d sent after %d, a step", second, sent, last)
			}
			last = max(sent, 5)
		}
		if last < 999 {
			t.Errorf("%d of 1000 sent 15 s after the end of an outage", last)
		}
	})
}

// Of few calls nothing is concluded.
func TestThrottleFewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &throttled{newThrottle(t, limit.ThrottlePolicy{}), random.New(seed), always(false)}
		for i := range 5 {
			if sent, _ := c.call(1, time.Millisecond); sent != 1 {
				t.Errorf("call %d of a few is held back", i+1)
			}
		}
		if p := c.throttle.Rejecting(); p != 0 {
			t.Errorf("rejecting %v after 5 failures", p)
		}
		c.call(1, time.Millisecond)
		if p := c.throttle.Rejecting(); p <= 0 {
			t.Errorf("rejecting %v after 6 failures", p)
		}
		time.Sleep(31 * time.Second)
		if p := c.throttle.Rejecting(); p != 0 {
			t.Errorf("rejecting %v when the window has passed", p)
		}
	})
}

// Calls under way are neither accepted nor refused yet: a slow service does not
// look like one that refuses.
func TestThrottleSlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(t, limit.ThrottlePolicy{})
		var wg sync.WaitGroup
		for range 1000 {
			if !th.Allow(nil) {
				t.Fatal("held back while nothing has failed")
			}
			wg.Go(func() {
				time.Sleep(5 * time.Second)
				th.Done(true)
			})
		}
		wg.Wait()
		if p := th.Rejecting(); p != 0 {
			t.Errorf("rejecting %v", p)
		}
	})
}

func TestThrottleUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &throttled{newThrottle(t, limit.ThrottlePolicy{}), random.New(seed), always(false)}
		c.call(1000, time.Second)
		before := c.throttle.Rejecting()
		if err := c.throttle.Update(limit.ThrottlePolicy{On: true, K: 0.5, Window: time.Millisecond}); err == nil || before != c.throttle.Rejecting() {
			t.Errorf("a bad policy: %v, rejecting %v, was %v", err, c.throttle.Rejecting(), before)
		} else if !strings.Contains(err.Error(), "k 0.5") || !strings.Contains(err.Error(), "window 1ms") {
			t.Errorf("%v does not tell all that is wrong", err)
		}
		if err := c.throttle.Update(limit.ThrottlePolicy{On: true, K: 3}); err != nil || c.throttle.Rejecting() != before {
			t.Errorf("another K: %v, rejecting %v, want what was counted kept: %v", err, c.throttle.Rejecting(), before)
		}
		if got := c.throttle.Policy(); got != (limit.ThrottlePolicy{On: true, K: 3, Window: 30 * time.Second}) {
			t.Errorf("policy in force: %+v", got)
		}
		if err := c.throttle.Update(limit.ThrottlePolicy{}); err != nil || c.throttle.Rejecting() != 0 || !c.throttle.Allow(nil) {
			t.Errorf("off: %v, rejecting %v", err, c.throttle.Rejecting())
		}
		c.throttle.Done(false)
		if err := c.throttle.Update(limit.ThrottlePolicy{On: true}); err != nil || c.throttle.Rejecting() != 0 {
			t.Errorf("on again: %v, rejecting %v; want it to begin anew", err, c.throttle.Rejecting())
		}
	})
}

func TestThrottledError(t *testing.T) {
	th := newThrottle(t, limit.ThrottlePolicy{})
	for range 94 {
		th.Done(false)
	}
	err := th.Err()
	throttled, ok := errors.AsType[*limit.ThrottledError](err)
	if !ok || !errors.Is(err, limit.ErrThrottled) || throttled.Rejecting != 89.0/95 {
		t.Errorf("got %#v", err)
	}
	if want := "limit: call throttled: holding back 94 %"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestThrottlePolicy(t *testing.T) {
	var p limit.ThrottlePolicy
	if err := p.Validate(); err != nil {
		t.Errorf("the zero policy: %v", err)
	}
	if got := p.WithDefaults(); got != (limit.ThrottlePolicy{K: 2, Window: 30 * time.Second}) {
		t.Errorf("defaults %+v", got)
	}
	const text = `{"on":true,"k":1.5,"window":"10s"}`
	if err := json.Unmarshal([]byte(text), &p); err != nil || p != (limit.ThrottlePolicy{On: true, K: 1.5, Window: 10 * time.Second}) {
		t.Errorf("read %+v, %v", p, err)
	}
	if b, err := json.Marshal(p); err != nil || string(b) != text {
		t.Errorf("wrote %s, %v", b, err)
	}
	for _, bad := range []string{`{"kk":2}`, `{"window":10}`, `{"on":"yes"}`, `[]`} {
		if err := json.Unmarshal([]byte(bad), &p); err == nil || p.K != 1.5 {
			t.Errorf("%s is read as %+v, %v", bad, p, err)
		}
	}
	for _, bad := range []limit.ThrottlePolicy{{K: 0.9}, {K: -1}, {K: 101}, {K: math.NaN()}, {K: math.Inf(1)}, {Window: time.Millisecond}, {Window: -1}, {Window: 2 * time.Hour}} {
		if _, err := limit.NewThrottle(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// Whatever happens, the probability is one; nothing is held back while enough is
// accepted; and no second of calls goes by without one being sent.
func TestThrottleProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			k := rapid.Float64Range(1, 5).Draw(r, "k")
			th := newThrottle(t, limit.ThrottlePolicy{K: k, Window: rapid.SampledFrom([]time.Duration{time.Second, 7 * time.Second, 30 * time.Second}).Draw(r, "window")})
			draw := random.New(rapid.Uint64().Draw(r, "seed"))
			share := rapid.Float64Range(0, 1).Draw(r, "accepted")
			gap := rapid.SampledFrom([]time.Duration{time.Millisecond, 30 * time.Millisecond, 400 * time.Millisecond}).Draw(r, "gap")
			sent, refused := time.Now(), false
			for range rapid.IntRange(1, 500).Draw(r, "calls") {
				time.Sleep(gap)
				p := th.Rejecting()
				if p < 0 || p >= 1 || math.IsNaN(p) {
					r.Fatalf("rejecting %v", p)
				}
				if !refused && p > 0 {
					r.Fatalf("rejecting %v when all were accepted", p)
				}
				if !th.Allow(draw) {
					if d := time.Since(sent); d >= time.Second+gap {
						r.Fatalf("nothing sent for %v", d)
					}
					continue
				}
				sent = time.Now()
				ok := random.Float64(draw) < share
				refused = refused || !ok
				th.Done(ok)
			}
		})
	})
}

// No call is lost or counted twice, however many count at once.
func TestThrottleConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that the window does not move
		th := newThrottle(t, limit.ThrottlePolicy{K: 1})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 1000 {
					th.Done(i%4 == 0)
				}
			})
		}
		wg.Wait()
		if got, want := th.Rejecting(), (8000-5-2000.0)/8001; got != want {
			t.Errorf("rejecting %v of 8000 calls of which 2000 were accepted, want %v", got, want)
		}
	})
}

func TestThrottleAllocatesNothing(t *testing.T) {
	th := newThrottle(t, limit.ThrottlePolicy{})
	if n := testing.AllocsPerRun(1000, func() {
		if th.Allow(nil) {
			th.Done(false)
		}
	}); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func BenchmarkThrottle(b *testing.B) {
	for name, accepted := range map[string]bool{"accepted": true, "outage": false} {
		b.Run(name, func(b *testing.B) {
			th := newThrottle(b, limit.ThrottlePolicy{})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if th.Allow(nil) {
						th.Done(accepted)
					}
				}
			})
		})
	}
}
