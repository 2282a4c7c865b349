package limit_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

const mean = 10 * time.Millisecond

// overloaded returns a server and a load of five times what it can do.
func overloaded(t *testing.T, workers int, d time.Duration) (*server, *load) {
	s := newServer(t, workers, limit.Settings{})
	l := &load{server: s, perSecond: 5 * float64(workers) / mean.Seconds()}
	l.handle = func(r *request) { s.work(r.around(mean), r.succeed) }
	l.start(d)
	return s, l
}

// The bounds in these tests leave room for what another seed would bring:
// arrivals and service times are random, and what a small server does in some
// seconds varies by some percent. On average goodput is 0.96 to 0.99.
func goodput(served, workers int, d time.Duration) float64 {
	return float64(served) / (float64(workers) / mean.Seconds() * d.Seconds())
}

// Five times too much from the first moment on: the server does nearly all it
// can, and those that are served are served soon.
func TestOverload(t *testing.T) {
	for workers, want := range map[int]float64{4: 0.85, 24: 0.93} {
		t.Run(strconv.Itoa(workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := max(10*time.Second, 30*time.Second*8/time.Duration(workers))
				s, l := overloaded(t, workers, d)
				first, slow := l.during(time.Second, 0.99)
				served, took := l.during(d-time.Second, 0.99)
				s.drain()
				t.Logf("%d workers: limit %d, goodput %.3f, p99 %v; in the first second %.3f, %v",
					workers, s.limiter.Limit(), goodput(served, workers, d-time.Second), took, goodput(first, workers, time.Second), slow)
				if g := goodput(first+served, workers, d); g < want {
					t.Errorf("%d workers: goodput %.3f of capacity, want %v", workers, g, want)
				}
				if took > 150*time.Millisecond {
					t.Errorf("%d workers: p99 of the served is %v, want 150ms at most", workers, took)
				}
				if s.limiter.InFlight() != 0 || s.limiter.Queued() != 0 {
					t.Errorf("in flight %d, queued %d after the end", s.limiter.InFlight(), s.limiter.Queued())
				}
			})
		})
	}
}

// The limit follows the capacity down and up again.
func TestCapacityChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := overloaded(t, 8, 60*time.Second)
		for _, workers := range []int{8, 4, 8, 16, 4} {
			s.setWorkers(workers)
			first, _ := l.during(3*time.Second, 0.99)
			served, took := l.during(9*time.Second, 0.99)
			t.Logf("%d workers: limit %d, goodput %.3f in the first 3 s, then %.3f, p99 %v",
				workers, s.limiter.Limit(), goodput(first, workers, 3*time.Second), goodput(served, workers, 9*time.Second), took)
			if g := goodput(served, workers, 9*time.Second); g < 0.85 {
				t.Errorf("%d workers: goodput %.3f of capacity, want 0.85", workers, g)
			}
			if n := s.limiter.Limit(); n > 6*workers {
				t.Errorf("%d workers: limit %d", workers, n)
			}
		}
		s.drain()
	})
}

// Requests of very different kinds, none of which waits for another: the limit
// does not shrink, whatever the mix, and whatever it changes to.
func TestSlowIsNotBusy(t *testing.T) {
	for name, slow := range map[string]time.Duration{"mixed": 200 * time.Millisecond, "very mixed": 500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, 1_000_000, limit.Settings{})
				share := 0.1
				l := &load{server: s, perSecond: 2500}
				l.handle = func(r *request) {
					d := 2 * time.Millisecond
					if r.rand.Float64() < share {
						d = slow
					}
					s.work(r.around(d), r.succeed)
				}
				l.start(40 * time.Second)
				s.run(15 * time.Second)
				before := s.highest(5 * time.Second)
				share = 0.5
				s.run(15 * time.Second)
				after := s.highest(5 * time.Second)
				t.Logf("limit %d, then %d", before, after)
				if before < 10 {
					t.Errorf("limit %d after 20 s of requests that do not queue", before)
				}
				if after < before/3 { // one step misjudged by chance, not yet grown back, costs less
					t.Errorf("limit fell from %d to %d when the mix became slower", before, after)
				}
				s.drain()
			})
		})
	}
}

// A few requests that hang do not shrink the limit.
func TestFewSlowSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, 16, limit.Settings{})
		l := &load{server: s, perSecond: 1400} // of 1600
		l.handle = func(r *request) {
			if r.n%1000 == 0 {
				s.after(3*time.Second, r.succeed) // waits for something else
				return
			}
			s.work(r.around(mean), r.succeed)
		}
		l.start(30 * time.Second)
		least := s.limiter.Limit()
		for range 270 {
			s.run(100 * time.Millisecond)
			least = min(least, s.limiter.Limit())
		}
		after := s.highest(3 * time.Second)
		s.drain()
		served, refused := l.count()
		t.Logf("least limit %d, served %d, refused %d", least, served, refused)
		if after < 16 {
			t.Errorf("limit %d at the end", after)
		}
		if refused*10 > served {
			t.Errorf("%d refused of %d", refused, served+refused)
		}
	})
}

// Under overload the less critical are refused first: the more critical get
// all they ask for, as if the others were not there.
func TestCriticality(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, 16, limit.Settings{})
		l := &load{server: s, perSecond: 3 * 16 / mean.Seconds()}
		l.handle = func(r *request) { s.work(r.around(mean), r.succeed) }
		l.criticality = func(r *request) limit.Criticality {
			switch n := r.rand.IntN(100); {
			case n < 10: // 30 % of capacity
				return limit.CriticalPlus
			case n < 25: // 45 %
				return limit.Critical
			case n < 60: // 105 %
				return limit.SheddablePlus
			default: // 120 %
				return limit.Sheddable
			}
		}
		l.start(20 * time.Second)
		s.drain()
		share := func(c limit.Criticality) float64 {
			return float64(l.served[c]) / float64(l.served[c]+l.refused[c])
		}
		for c := limit.Sheddable; c <= limit.CriticalPlus; c++ {
			t.Logf("%v: %.4f served", c, share(c))
		}
		if got := share(limit.CriticalPlus); got < 0.998 {
			t.Errorf("%.4f of critical_plus served, want 0.998", got)
		}
		if got := share(limit.Critical); got < 0.93 {
			t.Errorf("%.4f of critical served, want 0.93", got)
		}
		if got := share(limit.SheddablePlus); got > 0.35 {
			t.Errorf("%.4f of sheddable_plus served, want what is left", got)
		}
		if got := share(limit.Sheddable); got > 0.05 {
			t.Errorf("%.4f of sheddable served, want hardly any", got)
		}
	})
}

// Long polls that have said so take no place and do not change the limit.
func TestStreamsDoNotPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, 16, limit.Settings{})
		l := &load{server: s, perSecond: 1000} // of 1600
		l.handle = func(r *request) {
			if r.n%5 == 0 {
				r.stream()
				s.after(10*time.Second, r.succeed)
				return
			}
			s.work(r.around(mean), r.succeed)
		}
		l.start(30 * time.Second)
		s.run(20 * time.Second)
		if n := s.limiter.Streams(); n < 1000 {
			t.Errorf("%d streams, want about 2000", n)
		}
		if n := s.highest(10 * time.Second); n < 16 {
			t.Errorf("limit %d", n)
		}
		s.drain()
		served, refused := l.count()
		if refused*50 > served {
			t.Errorf("%d refused, %d served", refused, served)
		}
		if s.limiter.Streams() != 0 || s.limiter.InFlight() != 0 {
			t.Errorf("%d streams, %d in flight after the end", s.limiter.Streams(), s.limiter.InFlight())
		}
	})
}

// Most requests run out of time because of something downstream. Fewer at once
// would not help them, and the limit stays.
func TestHungDependency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, 1_000_000, limit.Settings{})
		l := &load{server: s, perSecond: 500}
		l.handle = func(r *request) {
			if r.rand.Float64() < 0.3 {
				s.work(r.around(mean), r.succeed)
			} else {
				s.after(500*time.Millisecond, r.drop)
			}
		}
		l.start(60 * time.Second)
		s.run(45 * time.Second)
		if n := s.highest(15 * time.Second); n < 20 {
			t.Errorf("limit %d while a dependency hangs", n)
		}
		s.drain()
	})
}

// Most requests run out of time because there are too many at once, so that
// what they take is always the time they have. Far fewer at once are served
// soon.
func TestTooManyToBeInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 8
		s := newServer(t, workers, limit.Settings{Initial: 500})
		l := &load{server: s, perSecond: 5 * workers / mean.Seconds()}
		l.handle = func(r *request) { s.workUntil(r.around(mean), 200*time.Millisecond, r.succeed, r.drop) }
		l.start(40 * time.Second)
		s.run(30 * time.Second)
		_, median := l.during(10*time.Second, 0.5)
		t.Logf("limit %d, median %v", s.limiter.Limit(), median)
		if n := s.limiter.Limit(); n > 60 || median > 100*time.Millisecond {
			t.Errorf("limit %d, median %v", n, median)
		}
		s.drain()
	})
}
