package balance_test

import (
	"fmt"
	"testing"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

func instances(n int) []discovery.Instance {
	list := make([]discovery.Instance, n)
	for i := range list {
		list[i] = discovery.Instance{
			ID: fmt.Sprintf("i%05d", i), Service: "s", Addr: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256),
		}
	}
	return list
}

func newBalancer(t testing.TB, p balance.Policy, n int, opts ...balance.Option) *balance.Balancer {
	t.Helper()
	b, err := balance.New(p, opts...)
	if err != nil {
		t.Fatal(err)
	}
	b.Update(instances(n))
	return b
}

// BenchmarkPick is one Pick and its Done, as each attempt makes them.
func BenchmarkPick(b *testing.B) {
	for _, name := range []string{balance.P2C, balance.RoundRobin, balance.Random} {
		for _, n := range []int{10, 100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/n=%d", name, n), func(b *testing.B) {
				bal := newBalancer(b, balance.Policy{Name: name}, n)
				b.ReportAllocs()
				for b.Loop() {
					e, err := bal.Pick(nil)
					if err != nil {
						b.Fatal(err)
					}
					e.Done(balance.Result{})
				}
			})
		}
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
		fail(b, bal, e, balance.Result{Outcome: balance.Failure}, 5)
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

// fail gives e the same result n times, picking until e is hit.
func fail(t testing.TB, b *balance.Balancer, e *balance.Endpoint, r balance.Result, n int) {
	t.Helper()
	for range n {
		hit(t, b, e).Done(r)
	}
}

// hit picks until e comes up. The others stay busy until then, or an endpoint
// that has been failing would never be the less loaded one.
func hit(t testing.TB, b *balance.Balancer, e *balance.Endpoint) *balance.Endpoint {
	t.Helper()
	var others []*balance.Endpoint
	defer func() {
		for _, o := range others {
			o.Done(balance.Result{Outcome: balance.Cancelled})
		}
	}()
	for range 1_000_000 {
		got, err := b.Pick(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got == e {
			return got
		}
		others = append(others, got)
	}
	t.Fatalf("endpoint %s (%v) is never picked", e.ID(), e.State())
	return nil
}
