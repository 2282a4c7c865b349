package coalesce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxBytes is the most that a shared body has by default, in bytes.
const DefaultMaxBytes = 1 << 20

// Settings say what is shared. The zero Settings are the defaults.
type Settings struct {
	// MaxBytes is the most that a shared response body may have. It is held in
	// memory once, however many callers there are. Default 1 MiB.
	MaxBytes int64
	// Ignore are further header fields, apart from [Ignored], that do not
	// change the answer.
	Ignore []string
	// Identity, if not nil, returns what tells requests apart beside method,
	// URL, Host and header: a tenant in the context, for one. It may be called
	// by many goroutines at once.
	Identity func(*http.Request) string
}

// Stats count what a [Transport] has done.
type Stats struct {
	// Calls is how many calls went to the inner RoundTripper.
	Calls uint64
	// Shared is how many requests got an answer, or an error, of a call that
	// another one had begun.
	Shared uint64
	// Refused is how many had to make a call of their own after they had waited
	// for one whose response could not be shared.
	Refused uint64
}

// A Transport is an [http.RoundTripper] whose identical requests in flight share
// one call. It is safe for concurrent use. It starts a goroutine for each call,
// which ends with the call, and needs no Close.
type Transport struct {
	next     http.RoundTripper
	settings Settings
	ignored  map[string]bool

	mu      sync.Mutex
	flights map[string]*flight

	calls, shared, refused atomic.Uint64
}

// New returns a Transport whose calls are made by next, which must not be nil.
func New(next http.RoundTripper, s Settings) *Transport {
	if s.MaxBytes <= 0 {
		s.MaxBytes = DefaultMaxBytes
	}
	t := &Transport{next: next, settings: s, ignored: map[string]bool{}, flights: map[string]*flight{}}
	for _, name := range s.Ignore {
		t.ignored[http.CanonicalHeaderKey(name)] = true
	}
	return t
}

// Stats returns what t has done so far.
func (t *Transport) Stats() Stats {
	return Stats{Calls: t.calls.Load(), Shared: t.shared.Load(), Refused: t.refused.Load()}
}

// A PanicError is what a caller panics with when the call that it shared has
// panicked.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the panic's value and stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("coalesce: the shared call panicked: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// RoundTrip makes the call, or waits for the one that an identical request has
// begun.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !candidate(req) {
		return t.direct(req)
	}
	id := t.identity(req)
	for {
		f, first := t.join(id, req)
		if first {
			go f.run(t, id, req.Clone(f.ctx)) // whose caller may leave, and change the request, before it ends
		}
		resp, err := f.wait(req, first)
		switch {
		case first:
			return resp, err
		case errors.Is(err, errNotShared):
			t.refused.Add(1)
			return t.direct(req)
		case err != nil && f.tooEarly(req.Context(), err):
			continue // as the first of the next call, or with somebody who has as much time
		}
		t.shared.Add(1)
		return resp, err
	}
}

func (t *Transport) direct(req *http.Request) (*http.Response, error) {
	t.calls.Add(1)
	return t.next.RoundTrip(req)
}

// CloseIdleConnections passes on to the inner RoundTripper, for
// http.Client.CloseIdleConnections.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// join makes req a caller of the flight with this identity, and reports whether
// it is the first.
func (t *Transport) join(id string, req *http.Request) (f *flight, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f = t.flights[id]; f != nil && f.join(req.Context()) {
		return f, false
	}
	f = newFlight(req.Context())
	t.flights[id] = f
	return f, true
}

// leave takes f out, so that requests from now on begin a call of their own.
func (t *Transport) leave(id string, f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flights[id] == f {
		delete(t.flights, id)
	}
}

// later reports whether a caller with ctx has more time than until d; the zero
// time is for ever.
func later(ctx context.Context, d time.Time) bool {
	if d.IsZero() {
		return false
	}
	own, ok := ctx.Deadline()
	return !ok || own.After(d)
}
