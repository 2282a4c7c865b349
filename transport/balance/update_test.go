package balance_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// recorder writes down what an Observer is told.
type recorder struct {
	mu     sync.Mutex
	events []string
}

func (r *recorder) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := strings.Join(r.events, ", ")
	r.events = nil
	return s
}

func (r *recorder) observer() balance.Observer {
	return balance.Observer{
		Joined:   func(e *balance.Endpoint) { r.add("joined %s", e.ID()) },
		Departed: func(e *balance.Endpoint) { r.add("departed %s %s", e.ID(), e.Addr()) },
		Ejected:  func(e *balance.Endpoint, why balance.Reason) { r.add("ejected %s %s", e.ID(), why) },
		Returned: func(e *balance.Endpoint) { r.add("returned %s", e.ID()) },
		Panic:    func(on bool) { r.add("panic %v", on) },
	}
}

func TestUpdateKeepsWhatWasLearnt(t *testing.T) {
	inBubble(t, leastLoaded, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		ejectOne(t, b, all[2])
		give(t, b, all[3], failure, 4)
		held := hit(t, b, all[4])

		list := instances(11)
		slices.Reverse(list)
		list[10].Zone = "b"
		b.Update(list)
		after := b.Endpoints()
		for i, e := range all {
			if after[10-i] != e {
				t.Fatalf("endpoint %s is not the same after an update", e.ID())
			}
		}
		wantState(t, all[2], balance.Ejected)
		if n := all[4].InFlight(); n != 1 {
			t.Errorf("%d in flight, want 1", n)
		}
		if z := all[0].Instance().Zone; z != "b" {
			t.Errorf("zone %q, want the new one", z)
		}
		give(t, b, all[3], failure, 1)
		wantState(t, all[3], balance.Ejected)
		held.Done(success)
	})
}

func TestDeparture(t *testing.T) {
	var r recorder
	b := newBalancer(t, leastLoaded, 3, balance.WithObserver(r.observer()))
	r.take()
	gone := b.Endpoints()[2]
	hit(t, b, gone)
	b.Update(instances(2))
	if got := r.take(); got != "departed i00002 10.0.0.2:80" {
		t.Errorf("events: %s", got)
	}
	wantState(t, gone, balance.Draining)
	if n := calls(t, b, 1000, success)[gone]; n > 0 {
		t.Errorf("%d calls to an endpoint that has left", n)
	}
	for range 5 { // what is in flight there ends, and teaches nothing
		gone.Done(failure)
	}
	if got := r.take(); got != "" {
		t.Errorf("events: %s", got)
	}
}

// A registry that loses an instance for a moment must not make a sick one look
// new; after a minute whatever comes back is another process.
func TestComingBack(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		same  bool
	}{"soon": {time.Minute, true}, "late": {time.Minute + 1, false}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, leastLoaded, 10, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
				sick, hadFailures := all[9], all[8]
				ejectOne(t, b, sick)
				give(t, b, hadFailures, failure, balance.DefaultConsecutive-1)
				b.Update(instances(8))
				time.Sleep(c.after)
				b.Update(instances(10))
				back := b.Endpoints()
				if same := back[9] == sick && back[8] == hadFailures; same != c.same {
					t.Fatalf("the same endpoints: %t, want %t", same, c.same)
				}
				want := balance.Available
				if c.same {
					want = balance.Ejected
				}
				wantState(t, back[9], want)
				give(t, b, back[8], failure, 1) // it has been away: not in a row
				wantState(t, back[8], balance.Available)
			})
		})
	}
}

// The same ID at another address is another process.
func TestAddressChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		b := newBalancer(t, leastLoaded, 5, balance.WithObserver(r.observer()))
		old := b.Endpoints()[0]
		ejectOne(t, b, old)
		r.take()
		list := instances(5)
		list[0].Addr = "10.9.9.9:80"
		b.Update(list)
		fresh := b.Endpoints()[0]
		if got := r.take(); got != "joined i00000, departed i00000 10.0.0.0:80" {
			t.Errorf("events: %s", got)
		}
		if old == fresh || old.Addr() != "10.0.0.0:80" || fresh.Addr() != "10.9.9.9:80" {
			t.Errorf("old at %s, new at %s", old.Addr(), fresh.Addr())
		}
		wantState(t, fresh, balance.Available)
		wantState(t, old, balance.Draining)
		ejectOne(t, b, fresh) // for the second time
		within(t, "risked", awaitRisk(t, b, fresh, time.Minute), 20*time.Second-ms, 22*time.Second+ms)
		fresh.Done(success)
	})
}

func TestDuplicatesAndMissingIDs(t *testing.T) {
	b := newBalancer(t, leastLoaded, 0)
	list := []discovery.Instance{
		{ID: "a", Addr: "1.1.1.1:1"}, {ID: "a", Addr: "1.1.1.1:2"}, {Addr: "1.1.1.1:3"}, {Addr: "1.1.1.1:4"}, {Addr: "1.1.1.1:3"},
	}
	b.Update(list)
	var addrs []string
	for _, e := range b.Endpoints() {
		addrs = append(addrs, e.Addr())
	}
	if want := []string{"1.1.1.1:1", "1.1.1.1:3", "1.1.1.1:4"}; !slices.Equal(addrs, want) {
		t.Errorf("endpoints %v, want %v", addrs, want)
	}
}

// An update that says nothing new moves nothing, not even a slow start.
func TestUpdateWithoutNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		b := newBalancer(t, leastLoaded, 10, balance.WithObserver(r.observer()))
		before := b.Stats()
		r.take()
		b.Update(instances(10))
		if got := r.take(); got != "" || b.Stats() != before {
			t.Errorf("events %q, stats %+v", got, b.Stats())
		}
		b.Update(nil)
		b.Update(instances(10)) // after an empty list
	})
}

func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		b := newBalancer(t, balance.Policy{Name: balance.P2C, Ejection: balance.Ejection{MaxPercent: 100}}, 3, balance.WithObserver(r.observer()))
		all := b.Endpoints()
		expect := func(want string) {
			t.Helper()
			if got := r.take(); got != want {
				t.Errorf("events: %s\nwant: %s", got, want)
			}
		}
		expect("joined i00000, joined i00001, joined i00002")
		ejectOne(t, b, all[0])
		expect("ejected i00000 consecutive_failures")
		ejectOne(t, b, all[1])
		expect("ejected i00001 consecutive_failures, panic true")
		time.Sleep(time.Minute)
		give(t, b, all[0], success, 1)
		expect("returned i00000, panic false")
		awaitRisk(t, b, all[1], time.Second)
		all[1].Done(failure)
		expect("ejected i00001 probe_failed")
		cutOff(t, b, all[2])
		expect("ejected i00002 cannot_connect, panic true")
	})
}

// An observer may call the balancer; what comes of it is told afterwards. One
// that panics does not silence the next event.
func TestObserverCallsBack(t *testing.T) {
	var order []string
	var b *balance.Balancer
	explode := false
	b = newBalancer(t, leastLoaded, 0, balance.WithObserver(balance.Observer{
		Joined: func(e *balance.Endpoint) {
			order = append(order, "joined "+e.ID())
			if e.ID() == "i00000" {
				b.Update(instances(2)[1:])
				order = append(order, "updated")
			}
			if explode {
				panic("observer")
			}
		},
		Departed: func(e *balance.Endpoint) { order = append(order, "departed "+e.ID()) },
	}))
	b.Update(instances(1))
	if got, want := strings.Join(order, ", "), "joined i00000, updated, joined i00001, departed i00000"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
	explode = true
	func() {
		defer func() { _ = recover() }()
		b.Update(instances(3)[1:])
	}()
	explode, order = false, nil
	b.Update(instances(4)[1:])
	if got := strings.Join(order, ", "); got != "joined i00003" {
		t.Errorf("after a panic: %s", got)
	}
}

func TestSetPolicy(t *testing.T) {
	b := newBalancer(t, leastLoaded, 3)
	all := b.Endpoints()
	give(t, b, all[0], failure, 3)
	p := balance.Policy{Name: balance.RoundRobin, Ejection: balance.Ejection{Consecutive: 4}}
	if err := b.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	give(t, b, all[0], failure, 1)
	wantState(t, all[0], balance.Ejected)
	if err := b.SetPolicy(balance.Policy{Name: "best"}); err == nil {
		t.Error("an unknown policy is accepted")
	}
}

// Everything at once, for the race detector; then nothing is in flight.
func TestConcurrentUse(t *testing.T) {
	var r recorder
	b := newBalancer(t, leastLoaded, 20, balance.WithObserver(r.observer()))
	seen := sync.Map{}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 3000 {
				e, err := b.Pick(nil)
				if err != nil {
					continue
				}
				seen.Store(e, true)
				e2, err := b.Pick([]*balance.Endpoint{e})
				if err == nil {
					seen.Store(e2, true)
					e2.Done(balance.Result{Outcome: balance.Outcome(i % 6), Rest: time.Duration(i%7) * time.Microsecond})
				}
				e.Done(balance.Result{Outcome: balance.Outcome((i + w) % 6)})
			}
		})
	}
	wg.Go(func() {
		for i := range 300 {
			b.Update(weighted(slices.Repeat([]int{1, i%4 - 1, 3}, 1+i%9)...))
			_ = b.SetPolicy(balance.Policy{Name: policies[i%len(policies)]})
			_ = b.Stats()
		}
	})
	wg.Wait()
	seen.Range(func(k, _ any) bool {
		if n := k.(*balance.Endpoint).InFlight(); n != 0 {
			t.Errorf("%s: %d in flight", k.(*balance.Endpoint).ID(), n)
		}
		return true
	})
}
