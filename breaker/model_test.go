package breaker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/breaker"
)

var modelSettings = breaker.Settings{
	Window: 10 * time.Second, Bucket: time.Second,
	FailureRatio: 0.5, MinCalls: 6, Consecutive: 4,
	OpenFor: time.Second, MaxOpenFor: 4 * time.Second, Jitter: -1,
	Probes: 2, Lease: 2 * time.Second, Ramp: -1,
}

// model is the breaker as its documentation tells it, with lists in place of
// counters.
type model struct {
	breaker.Settings
	probes   int // those of the machine, which keeps them while half-open
	state    breaker.State
	gen      int
	began    time.Time // of this state
	counting time.Time // since when there are buckets
	outcomes []timed   // of this state
	row      int
	busy     []time.Time // since the last success
	byBusy   bool        // the circuit has opened for them
	openFor  time.Duration
	until    time.Time // end of the open period or of the lease
	probing  bool
}

type timed struct {
	at time.Time
	breaker.Outcome
}

// pending is a call under way, real and modelled.
type pending struct {
	permit breaker.Permit
	gen    int
}

func (m *model) enter(s breaker.State, at time.Time) {
	if s == breaker.Open {
		again := m.state == breaker.HalfOpen || (m.openFor > 0 && at.Sub(m.began) < m.Window)
		if m.openFor *= 2; !again {
			m.openFor = m.OpenFor
		}
		m.openFor = min(m.openFor, m.MaxOpenFor)
		m.until = at.Add(m.openFor)
	}
	m.state, m.began, m.counting = s, at, at
	if s != breaker.HalfOpen {
		m.probes = m.Probes
	}
	m.gen++
	m.outcomes, m.row, m.busy, m.probing = nil, 0, nil, false
	m.byBusy = m.byBusy && s != breaker.Closed
}

func (m *model) advance(now time.Time) {
	for {
		switch {
		case m.state == breaker.Open && !now.Before(m.until):
			m.enter(breaker.HalfOpen, m.until)
		case m.state == breaker.HalfOpen && m.probing && now.After(m.until):
			end := m.until
			m.enter(breaker.Open, end)
			m.until = end.Add(min(m.openFor, m.Lease))
		default:
			return
		}
	}
}

func (m *model) allow(now time.Time) bool {
	switch m.state {
	case breaker.Open:
		return false
	case breaker.HalfOpen:
		if m.probing {
			return false
		}
		m.probing, m.until = true, now.Add(m.Lease)
	}
	return true
}

func (m *model) done(gen int, o breaker.Outcome, now time.Time) (counted bool) {
	if gen != m.gen {
		return false
	}
	m.probing = false
	if o == breaker.Busy {
		switch o = breaker.Ignored; m.state {
		case breaker.HalfOpen:
			if o = breaker.Success; m.byBusy {
				o = breaker.Failure
			}
		case breaker.Closed:
			m.busy = append(m.busy, now)
			if m.byBusy = len(m.busy) >= m.MinCalls && now.Sub(m.busy[0]) >= m.Window; m.byBusy {
				o = breaker.Failure
			}
		}
	}
	m.outcomes = append(m.outcomes, timed{now, o})
	switch o {
	case breaker.Success:
		m.row, m.busy = 0, nil
	case breaker.Failure:
		m.row++
	}
	good, bad, _ := m.window(now)
	switch {
	case m.state == breaker.HalfOpen && o == breaker.Failure:
		m.enter(breaker.Open, now)
	case m.state == breaker.HalfOpen && good == m.probes:
		m.enter(breaker.Closed, now)
	case m.state == breaker.Closed && o == breaker.Failure &&
		(m.byBusy || m.row >= m.Consecutive || (good+bad >= m.MinCalls && float64(bad) >= m.FailureRatio*float64(good+bad))):
		m.enter(breaker.Open, now)
	}
	return true
}

// window counts the outcomes that are not too old: those in the present bucket
// and the nine before it, which only move while closed.
func (m *model) window(now time.Time) (good, bad, ignored int) {
	bucket := func(t time.Time) int { return int(t.Sub(m.counting) / m.Bucket) }
	for _, o := range m.outcomes {
		if m.state == breaker.Closed && bucket(now)-bucket(o.at) >= int(m.Window/m.Bucket) {
			continue
		}
		switch o.Outcome {
		case breaker.Success:
			good++
		case breaker.Failure:
			bad++
		default:
			ignored++
		}
	}
	return good, bad, ignored
}

// update is Breaker.Update. The lease and the window of failures in a row are
// not touched.
func (m *model) update(s breaker.Settings, now time.Time) {
	if m.state == breaker.Closed && (s.Window != m.Window || s.Bucket != m.Bucket) {
		m.outcomes, m.counting = nil, now
	}
	m.Settings = s
	if m.state != breaker.HalfOpen {
		m.probes = s.Probes
	}
	if m.state == breaker.Open {
		m.until = later(now.Add(time.Microsecond), earlier(now.Add(s.MaxOpenFor), m.until))
	}
}

func earlier(s, t time.Time) time.Time {
	if s.Before(t) {
		return s
	}
	return t
}

func later(s, t time.Time) time.Time {
	if s.After(t) {
		return s
	}
	return t
}

// updates are settings that differ from modelSettings in one thing each, and one
// that differs in many.
func updates() []breaker.Settings {
	change := func(f func(*breaker.Settings)) breaker.Settings { return settings(modelSettings, f) }
	return []breaker.Settings{
		modelSettings,
		change(func(s *breaker.Settings) { s.Window = 4 * time.Second }),
		change(func(s *breaker.Settings) { s.Bucket = 2 * time.Second }),
		change(func(s *breaker.Settings) { s.Probes = 1 }),
		change(func(s *breaker.Settings) { s.FailureRatio, s.MinCalls = 0.9, 3 }),
		change(func(s *breaker.Settings) { s.OpenFor, s.MaxOpenFor = 500*time.Millisecond, time.Second }),
		change(func(s *breaker.Settings) {
			s.Window, s.Bucket, s.Probes, s.Consecutive, s.Lease = 6*time.Second, 3*time.Second, 3, 2, time.Second
		}),
	}
}

// noDeadline hides testing.T.Deadline, which panics in a bubble.
type noDeadline struct{ testing.TB }

// sleeps are around the times at which something happens.
var sleeps = []time.Duration{
	1, 300 * time.Millisecond, time.Second - 1, time.Second, 2 * time.Second, 2*time.Second + 1, 5 * time.Second, 10 * time.Second,
}

var outcomes = []breaker.Outcome{breaker.Success, breaker.Failure, breaker.Failure, breaker.Ignored, breaker.Busy, breaker.Busy, breaker.Busy}

var errBusy = errors.New("busy")

// judgeBusy is the classifier of those who know a busy dependency when they see one.
func judgeBusy(err error) breaker.Outcome {
	if errors.Is(err, errBusy) {
		return breaker.Busy
	}
	return breaker.Failure
}

// TestModel drives a breaker and the model by the same random calls.
func TestModel(t *testing.T) {
	seen := map[breaker.State]int{}
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(noDeadline{t}, func(rt *rapid.T) {
			b, err := breaker.New("stock", breaker.WithSettings(modelSettings), breaker.WithClassifier(judgeBusy))
			if err != nil {
				rt.Fatal(err)
			}
			m := &model{Settings: modelSettings, probes: modelSettings.Probes, began: time.Now(), counting: time.Now()}
			var calls []pending
			allow := func(rt *rapid.T) bool {
				m.advance(time.Now())
				p, err := b.Allow(context.Background())
				if want := m.allow(time.Now()); (err == nil) != want {
					rt.Fatalf("Allow: %v, the model allows: %v", err, want)
				}
				if err == nil {
					calls = append(calls, pending{p, m.gen})
				}
				return err == nil
			}
			done := func(rt *rapid.T, c *pending, o breaker.Outcome) {
				m.advance(time.Now())
				got := c.permit.Done([]error{nil, errDown, context.Canceled, errBusy}[o])
				if want := m.done(c.gen, o, time.Now()); got != want {
					rt.Fatalf("Done: counted %v, want %v", got, want)
				}
				c.gen = -1 // it stays, to be done again
			}
			check := func(rt *rapid.T) {
				m.advance(time.Now())
				seen[m.state]++
				if got := b.State(); got != m.state {
					rt.Fatalf("state %v, want %v", got, m.state)
				}
				good, bad, ignored := m.window(time.Now())
				want := breaker.Counts{Successes: good, Failures: bad, Ignored: ignored, ConsecutiveFailures: m.row}
				got := b.Counts()
				got.Rejected = 0
				if got != want {
					rt.Fatalf("counts %+v, want %+v", got, want)
				}
			}
			rt.Repeat(map[string]func(*rapid.T){
				"sleep": func(rt *rapid.T) {
					time.Sleep(rapid.SampledFrom(sleeps).Draw(rt, "sleep"))
				},
				"update": func(rt *rapid.T) {
					s := rapid.SampledFrom(updates()).Draw(rt, "settings")
					m.advance(time.Now())
					m.update(s, time.Now())
					if err := b.Update(s); err != nil {
						rt.Fatal(err)
					}
				},
				"allow": func(rt *rapid.T) { allow(rt) },
				"done": func(rt *rapid.T) {
					if len(calls) == 0 {
						rt.Skip("no call under way")
					}
					i := rapid.IntRange(0, len(calls)-1).Draw(rt, "call")
					done(rt, &calls[i], rapid.SampledFrom(outcomes).Draw(rt, "outcome"))
				},
				"several": func(rt *rapid.T) {
					o := rapid.SampledFrom(outcomes).Draw(rt, "outcome")
					for range rapid.IntRange(1, 5).Draw(rt, "calls") {
						if allow(rt) {
							done(rt, &calls[len(calls)-1], o)
						}
					}
				},
				"": check, // after each
			})
			// However the walk went, once round through every state ends it.
			for _, o := range []breaker.Outcome{breaker.Failure, breaker.Success} {
				for m.state == breaker.Closed || o == breaker.Success {
					if allow(rt) {
						done(rt, &calls[len(calls)-1], o)
					}
					check(rt)
					if o == breaker.Success && m.state == breaker.Closed {
						break
					}
					if m.state != breaker.Closed {
						time.Sleep(time.Second)
						check(rt)
					}
				}
			}
		})
	})
	for _, state := range []breaker.State{breaker.Closed, breaker.HalfOpen, breaker.Open} {
		if seen[state] == 0 {
			t.Errorf("no walk saw the breaker %v", state)
		}
	}
}
