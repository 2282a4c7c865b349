package balance_test

import (
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// leftOutFor ejects e and holds the time until it is tried again to the given
// number of ejections.
func leftOutFor(t *testing.T, b *balance.Balancer, e *balance.Endpoint, ejections time.Duration) {
	t.Helper()
	ejectOne(t, b, e)
	within(t, "risked", awaitRisk(t, b, e, time.Minute), ejections*10*time.Second-ms, ejections*11*time.Second+ms)
	e.Done(success)
	wantState(t, e, balance.Available)
}

// A process that was restarted while it was out of the list is known for what it
// was ejected for before, as one that was restarted in it.
func TestComingBackAtAnotherAddress(t *testing.T) {
	inBubble(t, leastLoaded, 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		ejectOne(t, b, all[0])
		list := instances(5)
		list[0].Addr = "10.9.9.9:80"
		b.Update(list[1:])
		b.Update(list)
		back := b.Endpoints()[0]
		if back == all[0] || back.Addr() != "10.9.9.9:80" {
			t.Fatalf("back at %s", back.Addr())
		}
		wantState(t, back, balance.Available)
		leftOutFor(t, b, back, 2)
	})
}

// Ejections are forgotten for the time in service, whatever ended it.
func TestTimeInServiceCounts(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *balance.Balancer) *balance.Endpoint{
		"ejected": func(_ *testing.T, b *balance.Balancer) *balance.Endpoint { return b.Endpoints()[0] },
		"unreachable": func(t *testing.T, b *balance.Balancer) *balance.Endpoint {
			e := b.Endpoints()[0]
			cutOff(t, b, e)
			awaitRisk(t, b, e, time.Minute)
			e.Done(success)
			return e
		},
		"restarted": func(_ *testing.T, b *balance.Balancer) *balance.Endpoint {
			list := instances(5)
			list[0].Addr = "10.9.9.9:80"
			b.Update(list)
			return b.Endpoints()[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, leastLoaded, 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
				leftOutFor(t, b, all[0], 1)
				time.Sleep(10 * time.Second)
				leftOutFor(t, b, end(t, b), 1)
			})
		})
	}
}

// Ejection can be turned off while an ejected endpoint is away.
func TestDisabledMeanwhile(t *testing.T) {
	inBubble(t, leastLoaded, 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		ejectOne(t, b, all[0])
		b.Update(instances(5)[1:])
		if err := b.SetPolicy(balance.Policy{Name: balance.P2C, Ejection: balance.Ejection{Disabled: true}}); err != nil {
			t.Fatal(err)
		}
		b.Update(instances(5))
		wantState(t, b.Endpoints()[0], balance.Available)
	})
}

// What is remembered of one that has left does not keep the list that it was in:
// a list may be long, and many may leave one after another.
func TestDepartedKeepNoList(t *testing.T) {
	b := newBalancer(t, leastLoaded, 0)
	old := func() weak.Pointer[discovery.Instance] {
		list := instances(100)
		b.Update(list)
		return weak.Make(&list[0])
	}()
	gone := b.Endpoints()[99]
	b.Update(instances(99))
	runtime.GC()
	if old.Value() != nil {
		t.Error("the list is kept")
	}
	if gone.ID() != "i00099" {
		t.Errorf("the endpoint is now %q", gone.ID())
	}
}

// The first list starts at once, though there was an empty one before: only what
// joins it is new.
func TestEmptyListIsNoFirst(t *testing.T) {
	inBubble(t, leastLoaded, 0, func(t *testing.T, b *balance.Balancer, _ []*balance.Endpoint) {
		b.Update(instances(9))
		b.Update(instances(10))
		if n := calls(t, b, 10_000, success)[b.Endpoints()[9]]; n > 300 {
			t.Errorf("%d of 10,000 calls to the new one of ten, want about 100", n)
		}
	})
}

// A connect error before it left and one after are not in a row.
func TestRefusalsAreForgotten(t *testing.T) {
	inBubble(t, leastLoaded, 5, func(t *testing.T, b *balance.Balancer, all []*balance.Endpoint) {
		give(t, b, all[0], refused, 1)
		b.Update(instances(5)[1:])
		time.Sleep(time.Second)
		b.Update(instances(5))
		give(t, b, b.Endpoints()[0], refused, 1)
		wantState(t, b.Endpoints()[0], balance.Available)
	})
}

// The endpoint of an ID that has moved is found again wherever it is in the list.
func TestMovedIsFound(t *testing.T) {
	b := newBalancer(t, leastLoaded, 5)
	list := instances(5)
	list[0].Addr = "10.9.9.9:80"
	b.Update(list)
	moved := b.Endpoints()[0]
	list = slices.Clone(list)
	slices.Reverse(list)
	b.Update(list)
	if b.Endpoints()[4] != moved {
		t.Error("it is another endpoint")
	}
}
