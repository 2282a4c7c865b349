package balance_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// BenchmarkPick is one Pick and its Done, as each attempt makes them.
func BenchmarkPick(b *testing.B) {
	for _, name := range policies {
		for _, n := range []int{10, 100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/n=%d", name, n), func(b *testing.B) {
				bal := newBalancer(b, balance.Policy{Name: name}, n)
				b.ReportAllocs()
				for b.Loop() {
					e, err := bal.Pick(nil)
					if err != nil {
						b.Fatal(err)
					}
					e.Done(balance.Result{Latency: time.Millisecond})
				}
			})
		}
	}
}

// BenchmarkPickTimed is what the balancer adds to an attempt whose caller reads
// the clock anyway, as transport does: the times are handed in. BenchmarkPick
// reads it twice, at BenchmarkClock's price.
func BenchmarkPickTimed(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			bal := newBalancer(b, balance.Policy{}, n)
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				e, err := bal.PickFor(&balance.Call{Now: now})
				if err != nil {
					b.Fatal(err)
				}
				now = now.Add(time.Microsecond)
				e.Done(balance.Result{Latency: time.Millisecond, Now: now})
			}
		})
	}
}

// BenchmarkClock is one reading of the clock, of which an attempt needs two.
func BenchmarkClock(b *testing.B) {
	start := time.Now()
	var sum time.Duration
	for b.Loop() {
		sum += time.Since(start)
	}
	if sum < 0 {
		b.Fatal("time goes backwards")
	}
}

func BenchmarkPickParallel(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			bal := newBalancer(b, balance.Policy{}, n)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					e, err := bal.Pick(nil)
					if err != nil {
						b.Error(err)
						return
					}
					e.Done(balance.Result{})
				}
			})
		})
	}
}

// BenchmarkPickTroubled has an ejected endpoint, slow starts and failure rates.
func BenchmarkPickTroubled(b *testing.B) {
	bal := newBalancer(b, balance.Policy{}, 100)
	bal.Update(instances(120))
	for _, e := range bal.Endpoints()[:5] {
		give(b, bal, e, failure, 5)
	}
	b.ReportAllocs()
	for b.Loop() {
		e, err := bal.Pick(nil)
		if err != nil {
			b.Fatal(err)
		}
		e.Done(balance.Result{})
	}
}

// BenchmarkUpdate changes one endpoint in 10,000.
func BenchmarkUpdate(b *testing.B) {
	for name, p := range map[string]balance.Policy{
		"subset": {Subset: balance.Subset{Size: 20}}, "all": {}, "hash": {Name: balance.RingHash},
	} {
		b.Run(name, func(b *testing.B) {
			bal := newBalancer(b, p, 10_000)
			lists := [2][]discovery.Instance{instances(10_000), instances(10_000)}
			lists[1][5000].Meta = map[string]string{"changed": "yes"}
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				bal.Update(lists[n%2])
			}
		})
	}
}

// BenchmarkPickKey is a pick by a key and its Done, as one of many in flight.
func BenchmarkPickKey(b *testing.B) {
	for _, name := range byHash {
		for _, n := range []int{10, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/n=%d", name, n), func(b *testing.B) {
				bal := newBalancer(b, balance.Policy{Name: name}, n)
				keys := make([]balance.Call, 1024)
				for i := range keys {
					keys[i].Key = fmt.Sprint("customer-", i)
				}
				for i := range 8 * n {
					pickKey(b, bal, fmt.Sprint(i))
				}
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					i++
					e, err := bal.PickFor(&keys[i%len(keys)])
					if err != nil {
						b.Fatal(err)
					}
					e.Done(balance.Result{Latency: time.Millisecond})
				}
			})
		}
	}
}

// BenchmarkPickReported has servers that report their load with each response.
func BenchmarkPickReported(b *testing.B) {
	for _, name := range []string{balance.PeakEWMA, balance.WeightedRoundRobin, balance.Prequal} {
		b.Run(name, func(b *testing.B) {
			bal := newBalancer(b, balance.Policy{Name: name, Weighted: balance.Weighted{Blackout: -1}}, 100)
			load := balance.Load{RIF: 3, Latency: time.Millisecond, Utilization: 0.5, QPS: 100}
			for _, e := range bal.Endpoints() {
				e.Report(load)
			}
			b.ReportAllocs()
			for b.Loop() {
				e, err := bal.Pick(nil)
				if err != nil {
					b.Fatal(err)
				}
				e.Report(load)
				e.Done(balance.Result{Latency: time.Millisecond})
			}
		})
	}
}
