package balance_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

var prequal = balance.Policy{Name: balance.Prequal, SlowStart: -1}

// answer makes n calls one after another to servers that report what load says,
// and counts them.
func answer(t testing.TB, b *balance.Balancer, n int, load func(i int) balance.Load) []int {
	t.Helper()
	at := map[*balance.Endpoint]int{}
	for i, e := range b.Endpoints() {
		at[e] = i
	}
	count := make([]int, len(at))
	for range n {
		e := pick(t, b)
		i := at[e]
		count[i]++
		time.Sleep(ms)
		if l := load(i); l.RIF >= 0 {
			e.Report(l)
		}
		e.Done(success)
	}
	return count
}

func TestPrequalTakesTheFastest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, prequal, 5)
		count := answer(t, b, 5000, func(i int) balance.Load {
			return balance.Load{RIF: 3, Latency: time.Duration(5-i) * ms}
		})
		if count[4] < 4500 {
			t.Errorf("of equally busy ones the fastest gets %d of 5000 calls: %v", count[4], count)
		}
	})
}

func TestPrequalLeavesTheHot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBalancer(t, prequal, 10)
		count := answer(t, b, 5000, func(i int) balance.Load {
			if i == 0 {
				return balance.Load{RIF: 50, Latency: ms} // fast, but too busy
			}
			return balance.Load{RIF: 3, Latency: 5 * ms}
		})
		if count[0] > 100 {
			t.Errorf("the hot one gets %d of 5000 calls: %v", count[0], count)
		}
	})
}

// Those that report nothing get their part all the same.
func TestPrequalWithSilentServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, opts := range [][]balance.Option{nil, {balance.WithProber(func(*balance.Endpoint) {})}} {
			b := newBalancer(t, prequal, 10, opts...)
			count := answer(t, b, 10_000, func(i int) balance.Load {
				if i < 5 {
					return balance.Load{RIF: -1}
				}
				return balance.Load{RIF: 0, Latency: ms}
			})
			for i, n := range count[:5] {
				if n < 700 || n > 1500 {
					t.Errorf("%d, which reports nothing, gets %d of 10000 calls: %v", i, n, count)
				}
			}
		}
	})
}

// An endpoint that was hot is found out to be cold again: by asking, or if that
// is not possible, by a call.
func TestPrequalComesBack(t *testing.T) {
	for name, probed := range map[string]bool{"asked": true, "not asked": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				load := balance.Load{RIF: 90, Latency: ms}
				var b *balance.Balancer
				var opts []balance.Option
				if probed {
					opts = append(opts, balance.WithProber(func(e *balance.Endpoint) {
						if e == b.Endpoints()[0] {
							e.Report(load)
						}
					}))
				}
				b = newBalancer(t, prequal, 4, opts...)
				loads := func(i int) balance.Load {
					if i == 0 {
						return load
					}
					return balance.Load{RIF: 10, Latency: 5 * ms}
				}
				if n := answer(t, b, 2000, loads)[0]; n > 100 {
					t.Errorf("hot, it gets %d of 2000 calls", n)
				}
				load.RIF = 0
				answer(t, b, 2000, loads) // in which the report becomes too old
				if n := answer(t, b, 2000, loads)[0]; n < 1500 {
					t.Errorf("cold and fast again, it gets %d of 2000 calls", n)
				}
			})
		})
	}
}

// Endpoints are asked when there is little traffic, not more than a few per
// call, none twice before it has answered, and not at all while responses tell.
func TestPrequalAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answers := map[*balance.Endpoint]int{}, false
		b := newBalancer(t, prequal, 35, balance.WithProber(func(e *balance.Endpoint) {
			asked[e]++
			if answers {
				e.Report(balance.Load{RIF: 1, Latency: ms})
			}
		}))
		sum := func() (n int) {
			for _, k := range asked {
				n += k
			}
			return n
		}
		pick(t, b).Done(success)
		if n := sum(); n < 1 || n > balance.DefaultPrequalProbes {
			t.Errorf("%d asked by one call, want up to %d", n, balance.DefaultPrequalProbes)
		}
		for range 1000 { // no answers come
			pick(t, b).Done(success)
		}
		if n := sum(); n > balance.DefaultPrequalPool || n != len(asked) {
			t.Errorf("%d have been asked %d times in vain", len(asked), n)
		}
		time.Sleep(2 * time.Second) // it is given up
		for range 1000 {
			pick(t, b).Done(success)
		}
		if n := sum(); n < balance.DefaultPrequalPool+3 || n > 2*balance.DefaultPrequalPool {
			t.Errorf("%d asked, want one round more", n)
		}

		time.Sleep(2 * time.Second)
		clear(asked)
		answers = true
		for range 1000 {
			pick(t, b).Done(success)
		}
		for e, n := range asked {
			if n > 1 {
				t.Errorf("%s has been asked %d times in a moment", e.ID(), n)
			}
		}
		clear(asked)
		for range 100 {
			pick(t, b).Done(success)
		}
		if n := sum(); n > 0 {
			t.Errorf("%d asked, although all have told just now", n)
		}
	})
}

// Answers are used although it is unlikely that their endpoint is drawn again.
func TestPrequalGoesByAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []*balance.Endpoint
		b := newBalancer(t, prequal, 1000, balance.WithProber(func(e *balance.Endpoint) { asked = append(asked, e) }))
		told := map[*balance.Endpoint]bool{}
		for n := range 200 {
			e := pick(t, b)
			if n > 1 && !told[e] {
				t.Fatalf("call %d goes to one that has told nothing, of %d that have", n, len(told))
			}
			for _, e := range asked {
				e.Report(balance.Load{RIF: 1})
				told[e] = true
			}
			asked = asked[:0]
			time.Sleep(50 * ms)
			e.Done(success)
		}
	})
}

// Called by a pick, a prober may use the balancer.
func TestPrequalAsksOutsideItsLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *balance.Balancer
		depth := 0
		b = newBalancer(t, prequal, 3, balance.WithProber(func(*balance.Endpoint) {
			if depth++; depth < 3 {
				pick(t, b).Done(success)
			}
		}))
		pick(t, b).Done(success)
	})
}

// An endpoint that fails fast looks neither fast nor idle.
func TestPrequalAndTheSinkhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prequal
		p.Ejection.Disabled = true
		b := newBalancer(t, p, 10)
		sick := b.Endpoints()[0]
		n := 0
		for call := range 10_000 {
			e := pick(t, b)
			time.Sleep(ms)
			if e == sick {
				if call > 1000 {
					n++
				}
				e.Report(balance.Load{RIF: 0, Latency: ms / 10})
				e.Done(failure)
				continue
			}
			e.Report(balance.Load{RIF: 2, Latency: 5 * ms})
			e.Done(success)
		}
		if n > 9000*2/100 {
			t.Errorf("the failing one gets %d of 9000 calls", n)
		}
	})
}

// A new endpoint, idle and fast as it is, gets no more than its part.
func TestPrequalStartsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prequal
		p.SlowStart = balance.DefaultSlowStart
		b := newBalancer(t, p, 9)
		loads := func(i int) balance.Load {
			if i == 9 {
				return balance.Load{RIF: 0, Latency: ms}
			}
			return balance.Load{RIF: 5, Latency: 5 * ms}
		}
		answer(t, b, 1000, loads)
		b.Update(instances(10))
		if n := answer(t, b, 10_000, loads)[9]; n < 50 || n > 400 {
			t.Errorf("in its first 10 s the new one of 10 gets %d of 10000 calls", n)
		}
		time.Sleep(balance.DefaultSlowStart)
		if n := answer(t, b, 1000, loads)[9]; n < 800 {
			t.Errorf("after its slow start the best gets %d of 1000 calls", n)
		}
	})
}

func TestPrequalTogether(t *testing.T) {
	b := newBalancer(t, prequal, 20, balance.WithProber(func(e *balance.Endpoint) { e.Report(balance.Load{RIF: 2}) }))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2000 {
				e := pick(t, b)
				e.Report(balance.Load{RIF: i % 9, Latency: ms})
				e.Done(success)
				if i%500 == 0 {
					b.Update(instances(10 + i/100))
				}
			}
		})
	}
	wg.Wait()
	for _, e := range b.Endpoints() {
		if n := e.InFlight(); n != 0 {
			t.Errorf("%s has %d in flight", e.ID(), n)
		}
	}
}

func TestPrequalAllocatesNothing(t *testing.T) {
	b := newBalancer(t, prequal, 100, balance.WithProber(func(*balance.Endpoint) {}))
	for _, e := range b.Endpoints()[:50] {
		e.Report(balance.Load{RIF: 1, Latency: ms})
	}
	if n := testing.AllocsPerRun(1000, func() {
		e, _ := b.Pick(nil)
		e.Report(balance.Load{RIF: 1, Latency: ms})
		e.Done(success)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPrequalValidate(t *testing.T) {
	for _, p := range []balance.PrequalSettings{
		{Pool: 1}, {Pool: 65}, {Pool: -1}, {MaxAge: -1}, {Quantile: -0.1}, {Quantile: 1.1}, {Probes: -1}, {Probes: 9},
	} {
		if err := (balance.Policy{Prequal: p}).Validate(); err == nil {
			t.Errorf("%+v is valid", p)
		}
	}
}
