package breaker_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
)

// recorder keeps events; it checks that they come one at a time and in order.
type recorder struct {
	t      *testing.T
	mu     sync.Mutex
	events []breaker.Event
}

func (r *recorder) take(e breaker.Event) {
	if !r.mu.TryLock() {
		r.t.Error("two events at once")
		return
	}
	defer r.mu.Unlock()
	if n := len(r.events); n > 0 && r.events[n-1].To != e.From {
		r.t.Errorf("event %v to %v after one to %v", e.From, e.To, r.events[n-1].To)
	}
	r.events = append(r.events, e)
}

func (r *recorder) walk() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s []string
	for _, e := range r.events {
		s = append(s, e.To.String())
	}
	return strings.Join(s, " ")
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{t: t}
		b := mustNew(t, breaker.WithSettings(steady), breaker.WithSubscriber(r.take))
		began := time.Now()
		_ = call(t, b, nil)
		trip(t, b)
		time.Sleep(time.Second)
		recovers(t, b)
		synctest.Wait() // whoever saw the period end first tells: it may be the timer
		want := []breaker.Event{
			{
				Name: "stock", From: breaker.Closed, To: breaker.Open, At: began, OpenFor: time.Second,
				Counts: breaker.Counts{Successes: 1, Failures: 10, ConsecutiveFailures: 10},
			},
			{Name: "stock", From: breaker.Open, To: breaker.HalfOpen, At: began.Add(time.Second)},
			{Name: "stock", From: breaker.HalfOpen, To: breaker.Closed, At: began.Add(time.Second)},
		}
		if !slices.EqualFunc(r.events, want, func(a, b breaker.Event) bool {
			same := a.At.Equal(b.At)
			a.At, b.At = time.Time{}, time.Time{}
			return same && a == b
		}) {
			t.Errorf("got  %+v\nwant %+v", r.events, want)
		}
	})
}

// With no traffic and nobody reading, subscribers still hear that the period is
// over and that a probe was lost.
func TestEventsWithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{t: t}
		b := mustNew(t, breaker.WithSettings(steady), breaker.WithSubscriber(r.take))
		trip(t, b)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := r.walk(); got != "open half-open" {
			t.Errorf("after the period: %q", got)
		}
		allow(t, b)
		time.Sleep(2*time.Second + 1)
		synctest.Wait()
		if got := r.walk(); got != "open half-open open" {
			t.Errorf("after the lease: %q", got)
		}
	})
}

// A subscriber may call every method, from within the change of state it is told
// of; see sony/gobreaker#37.
func TestSubscriberCallsTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, breaker.WithSettings(steady))
		r := &recorder{t: t}
		b.Subscribe(func(e breaker.Event) {
			if b.State() == breaker.Open && e.To == breaker.Open && e.Mode == breaker.ModeAuto {
				b.Force(breaker.ModeClosed) // its event comes after this call
			}
			_ = call(t, b, errDown)
			if p, err := b.Allow(t.Context()); err == nil {
				p.Done(nil)
			}
			_, _, _ = b.Counts(), b.Name(), b.Mode()
			b.Subscribe(func(breaker.Event) {})()
		})
		b.Subscribe(r.take)
		for range 10 {
			_ = call(t, b, errDown)
		}
		if got := r.walk(); got != "open closed" {
			t.Errorf("got %q, want open, then closed by force", got)
		}
	})
}

func TestSubscribe(t *testing.T) {
	b := mustNew(t)
	var early, late []breaker.State
	cancel := b.Subscribe(func(e breaker.Event) { early = append(early, e.To) })
	b.Force(breaker.ModeOpen)
	b.Subscribe(func(e breaker.Event) { late = append(late, e.To) })
	b.Force(breaker.ModeAuto)
	cancel()
	cancel()
	b.Force(breaker.ModeOpen)
	if want := []breaker.State{breaker.Open, breaker.Closed}; !slices.Equal(early, want) {
		t.Errorf("cancelled subscriber got %v, want %v", early, want)
	}
	if want := []breaker.State{breaker.Closed, breaker.Open}; !slices.Equal(late, want) {
		t.Errorf("later subscriber got %v, want %v", late, want)
	}
}

func TestCancelBySubscriber(t *testing.T) {
	b := mustNew(t)
	var cancel func()
	b.Subscribe(func(breaker.Event) { cancel() })
	cancel = b.Subscribe(func(breaker.Event) { t.Error("called after cancel") })
	b.Force(breaker.ModeOpen)
}

func TestSubscriberPanicIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		r := &recorder{t: t}
		b := mustNew(t,
			breaker.WithSubscriber(func(breaker.Event) { panic("boom") }),
			breaker.WithSubscriber(r.take),
			breaker.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		trip(t, b)
		if got := r.walk(); got != "open" {
			t.Errorf("the next subscriber got %q, want open", got)
		}
		if !strings.Contains(log.String(), "boom") {
			t.Errorf("log %q does not show the panic", log.String())
		}
	})
}

func TestSubscriberGoexitDoesNotStopEvents(t *testing.T) {
	b := mustNew(t)
	leave := true
	var got []breaker.State
	b.Subscribe(func(e breaker.Event) {
		if leave {
			leave = false
			runtime.Goexit()
		}
		got = append(got, e.To)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Force(breaker.ModeOpen)
	}()
	<-done
	b.Force(breaker.ModeAuto)
	if want := []breaker.State{breaker.Closed}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A subscriber that blocks stops neither calls nor changes of state, and what it
// misses is bounded.
func TestBlockedSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := &recorder{t: t}
		var n int
		b := mustNew(t, breaker.WithSubscriber(func(e breaker.Event) {
			if n++; n == 1 {
				<-release
			}
			r.mu.Lock()
			r.events = append(r.events, e)
			r.mu.Unlock()
		}))
		go b.Force(breaker.ModeOpen)
		synctest.Wait()
		for range 40_000 {
			b.Force(breaker.ModeAuto)
			b.Force(breaker.ModeOpen)
		}
		close(release)
		synctest.Wait()
		if len(r.events) != 1+65536 {
			t.Errorf("%d events, want the blocked one and the last 65536", len(r.events))
		}
		if last := r.events[len(r.events)-1].To; last != b.State() {
			t.Errorf("last event %v, state %v", last, b.State())
		}
	})
}

// Many goroutines push the state around: events stay in order, none comes
// twice or is lost, and the last one is the final state.
func TestEventsUnderLoad(t *testing.T) {
	r := &recorder{t: t}
	b := mustNew(t, breaker.WithSubscriber(r.take), breaker.WithSettings(breaker.Settings{
		Consecutive: 2, Probes: 1, Ramp: -1, OpenFor: time.Millisecond, MaxOpenFor: time.Millisecond,
	}))
	const transitions = 20_000
	modes := []breaker.Mode{breaker.ModeAuto, breaker.ModeOpen, breaker.ModeClosed, breaker.ModeShadow, breaker.ModeDisabled}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2 * transitions {
				switch rand.IntN(4) {
				case 0:
					b.Force(modes[rand.IntN(len(modes))])
				case 1:
					b.State()
				default:
					_, _ = breaker.Do(context.Background(), b, func(context.Context) (int, error) {
						if rand.IntN(4) > 0 {
							return 0, errDown
						}
						return 0, nil
					})
				}
			}
		})
	}
	wg.Wait()
	b.Force(breaker.ModeClosed)
	b.Force(breaker.ModeOpen)
	if len(r.events) < transitions {
		t.Errorf("only %d events", len(r.events))
	}
	if last := r.events[len(r.events)-1].To; last != b.State() {
		t.Errorf("last event %v, state %v", last, b.State())
	}
}
