package limit_test

import (
	"encoding/json"
	"testing"

	"github.com/gabion-go/gabion/transport/limit"
)

// A limit that shadows lets everybody through at once, and tells whom it would
// have refused: those for whom there is no place in the queue either.
func TestAdaptiveShadow(t *testing.T) {
	a, err := limit.NewAdaptive(limit.Settings{Min: 2, Max: 2, Queue: 3, Shadow: true})
	if err != nil {
		t.Fatal(err)
	}
	var tickets []limit.Ticket
	for i := range 8 {
		ticket, err := a.Acquire(t.Context(), limit.Critical)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if got, want := ticket.Shadowed(), i >= 5; got != want {
			t.Errorf("request %d: shadowed %v, want %v", i, got, want)
		}
		tickets = append(tickets, ticket)
	}
	if a.InFlight() != 8 || a.Queued() != 0 {
		t.Errorf("%d in flight and %d waiting, want 8 and none", a.InFlight(), a.Queued())
	}
	for i := range tickets {
		tickets[i].Release(limit.Succeeded)
	}
	if ticket, err := a.Acquire(t.Context(), limit.Critical); err != nil || ticket.Shadowed() || a.InFlight() != 1 {
		t.Errorf("afterwards: %v, %d in flight", err, a.InFlight())
	}
}

func TestBulkheadAcquire(t *testing.T) {
	b := limit.NewBulkhead(1)
	b.Acquire()
	b.Acquire()
	if b.TryAcquire() || b.InFlight() != 2 {
		t.Errorf("%d in flight", b.InFlight())
	}
	b.Release()
	b.Release()
	if !b.TryAcquire() {
		t.Error("no place though none is taken")
	}
}

func TestShadowIsWrittenDown(t *testing.T) {
	for _, v := range []any{limit.Policy{Shadow: true}, limit.ThrottlePolicy{Shadow: true}, limit.Settings{Shadow: true}} {
		if out, err := json.Marshal(v); err != nil || string(out) != `{"shadow":true}` {
			t.Errorf("%T: %s, %v", v, out, err)
		}
	}
}
