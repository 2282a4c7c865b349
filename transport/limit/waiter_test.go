package limit_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

// told collects what waiters are told.
type told struct {
	order   []string
	tickets map[string]limit.Ticket
}

// enter asks for a place for a request with that name.
func (l *told) enter(a *limit.Adaptive, c limit.Criticality, name string) (*limit.Waiter, error) {
	t, w, err := a.Enter(c, func(t limit.Ticket, err error) { l.add(name, t, err) })
	if w == nil {
		l.add(name, t, err)
	}
	return w, err
}

func (l *told) add(name string, t limit.Ticket, err error) {
	if err != nil {
		shed, _ := errors.AsType[*limit.ShedError](err)
		name += " " + shed.Reason
	} else {
		l.tickets[name] = t
	}
	l.order = append(l.order, name)
}

func (l *told) release(name string) {
	t := l.tickets[name]
	t.Release(limit.Succeeded)
}

func TestEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := fixed(t, 1, 2, time.Second)
		l := &told{tickets: map[string]limit.Ticket{}}
		step := func(do func(), want ...string) {
			t.Helper()
			l.order = nil
			do()
			if !slices.Equal(l.order, want) {
				t.Fatalf("told %q, want %q", l.order, want)
			}
		}
		var b, c *limit.Waiter
		step(func() { _, _ = l.enter(a, limit.Critical, "a") }, "a")
		step(func() { b, _ = l.enter(a, limit.Sheddable, "b") })
		step(func() { c, _ = l.enter(a, limit.Critical, "c") })
		if b.Patience() != time.Second || c.Patience() != time.Second || a.Queued() != 2 {
			t.Fatalf("patience %v and %v, %d queued, want 1s, 1s, 2", b.Patience(), c.Patience(), a.Queued())
		}
		var err error
		step(func() { _, err = l.enter(a, limit.Sheddable, "d") }, "d queue_full")
		if !errors.Is(err, limit.ErrShed) {
			t.Errorf("refused with %v, want ErrShed", err)
		}
		step(func() { _, _ = l.enter(a, limit.Critical, "e") }, "b preempted")
		if err := b.Leave(); err != nil {
			t.Errorf("Leave after the refusal: %v, want nil", err)
		}
		step(func() { l.release("a") }, "c")
		if err := c.Leave(); err != nil || a.InFlight() != 1 {
			t.Errorf("Leave after the ticket: %v, %d in flight, want nil, 1", err, a.InFlight())
		}
		f, _ := l.enter(a, limit.Critical, "f")
		time.Sleep(f.Patience())
		if shed, _ := errors.AsType[*limit.ShedError](f.Leave()); shed == nil || shed.Reason != limit.ReasonQueueTimeout {
			t.Errorf("Leave: %v, want %s", shed, limit.ReasonQueueTimeout)
		}
		if err := f.Leave(); err != nil {
			t.Errorf("second Leave: %v, want nil", err)
		}
		// The queue has been standing: who comes now has less time.
		if g, _ := l.enter(a, limit.Critical, "g"); g.Patience() != 50*time.Millisecond {
			t.Errorf("patience in overload %v, want 50ms", g.Patience())
		}
		step(func() { l.release("c"); l.release("g") }, "g", "e")
		step(func() { l.release("e") })
		if a.InFlight() != 0 || a.Queued() != 0 {
			t.Errorf("%d in flight, %d queued, want none", a.InFlight(), a.Queued())
		}
	})
}

// A waiter that is told may use the limiter.
func TestToldOutsideLock(t *testing.T) {
	a := fixed(t, 1, 10, time.Second)
	first := acquire(t, a)
	n := 0
	for range 5 {
		_, _, _ = a.Enter(limit.Critical, func(t limit.Ticket, _ error) {
			n++
			t.Release(limit.Succeeded)
		})
	}
	first.Release(limit.Succeeded)
	if n != 5 || a.InFlight() != 0 {
		t.Errorf("%d told, %d in flight, want 5, 0", n, a.InFlight())
	}
}
