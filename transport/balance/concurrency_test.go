package balance_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// member reports whether instance i may get calls by list k: of 12 instances
// three are not in it, and three are draining.
func member(i, k int) bool { return (i+k)%4 > 1 }

func listOf(k int) (list []discovery.Instance) {
	for i, in := range instances(12) {
		if (i+k)%4 == 0 {
			continue
		}
		if (i+k)%4 == 1 {
			in.Weight = -1
		}
		in.Meta = map[string]string{"index": string(rune('a' + i))}
		list = append(list, in)
	}
	return list
}

// Whatever list and policy follow, while a pick goes on it returns only what
// some list had that was in force between its beginning and its end. And
// whatever becomes of the calls, in the end none is in flight.
func TestPickIsOfOldOrNewList(t *testing.T) {
	const lists = 400
	often := balance.Ejection{Interval: time.Millisecond, MinCalls: 1, LatencyFactor: 2, Base: time.Millisecond}
	b := newBalancer(t, balance.Policy{Ejection: often}, 0)
	b.Update(listOf(0))
	var begun, ended atomic.Int64 // the last list whose Update has
	var seen sync.Map
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				first := int(ended.Load())
				e, err := b.Pick(nil)
				if err != nil {
					t.Error(err)
					return
				}
				last := int(begun.Load())
				seen.Store(e, true)
				i, ok := int(e.Instance().Meta["index"][0]-'a'), false
				for k := first; k <= last && !ok; k++ {
					ok = member(i, k)
				}
				if !ok {
					t.Errorf("instance %d is picked, which lists %d to %d do not have", i, first, last)
					return
				}
				end(e, n+w)
			}
		})
	}
	for k := 1; k <= lists; k++ {
		begun.Store(int64(k))
		b.Update(listOf(k))
		ended.Store(int64(k))
		if k%7 == 0 {
			if err := b.SetPolicy(balance.Policy{Name: policies[k%len(policies)], Ejection: often}); err != nil {
				t.Error(err)
			}
		}
		runtime.Gosched()
	}
	close(done)
	wg.Wait()
	seen.Range(func(e, _ any) bool {
		if n := e.(*balance.Endpoint).InFlight(); n != 0 {
			t.Errorf("%s has %d calls in flight, want 0", e.(*balance.Endpoint).ID(), n)
		}
		return true
	})
}

// end ends a call in one of all ways that there are.
func end(e *balance.Endpoint, n int) {
	r := balance.Result{Outcome: balance.Outcome(n % 6), Latency: time.Duration(n%100) * time.Microsecond}
	if n%5 == 0 {
		e.Answered(r.Latency)
		r.Answered = true
	}
	if n%11 == 0 {
		r.Rest = time.Millisecond
	}
	e.Done(r)
}

// After calls that ended in all ways every counter is zero.
func TestCountersReturnToZero(t *testing.T) {
	for _, policy := range policies {
		b := newBalancer(t, balance.Policy{Name: policy}, 10)
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				var flying []*balance.Endpoint
				for n := range 5_000 {
					e, err := b.Pick(flying[max(0, len(flying)-2):])
					if err != nil {
						t.Error(err)
						return
					}
					flying = append(flying, e)
					if len(flying) > 20 {
						end(flying[0], n+w)
						flying = flying[1:]
					}
				}
				for n, e := range flying {
					end(e, n)
				}
			})
		}
		wg.Wait()
		for _, c := range b.Explain(balance.Call{}).Endpoints {
			if c.InFlight != 0 || c.Stalled != 0 {
				t.Errorf("%s: %s has %d in flight, stalled for %v", policy, c.Instance.ID, c.InFlight, c.Stalled)
			}
		}
	}
}
