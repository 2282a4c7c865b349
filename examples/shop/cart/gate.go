package cart

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/transport"
)

const (
	// beat is how often the gate looks at the time, and maxGap the jump that
	// tells it that the process was stopped. Callers wait longer than maxGap
	// before they repeat a request elsewhere, so shorter stops do no harm.
	beat   = 100 * time.Millisecond
	maxGap = time.Second
	// settle is how long changes are refused after a stop: until all that
	// waited in the sockets has been read.
	settle = 300 * time.Millisecond
	// maxCatchUp bounds how long requests wait for the peers after a stop.
	maxCatchUp = 1500 * time.Millisecond
)

// Gate guards a service against its own past. After the process was stopped
// for more than a second and goes on, the gate refuses changes for 300 ms, as
// work not begun that may go to another replica, because they may be old and
// done elsewhere since. Reads wait until the replica has caught up with the
// others, 1.5 s at most.
//
// A process that starts may be found before it says that it is ready, at the
// address of the one before it. Between [Gate.Shut] and [Gate.Open] the gate
// refuses everything, for what the process has may be old.
type Gate struct {
	catchUp  func(context.Context) error
	starting atomic.Bool

	mu       sync.Mutex
	last     time.Time     // zero until Run
	shut     time.Time     // changes are refused until then
	behind   chan struct{} // closed once caught up; nil if there is no need
	catching bool
}

// NewGate returns an open gate. catchUp is called after each stop.
func NewGate(catchUp func(context.Context) error) *Gate {
	return &Gate{catchUp: catchUp}
}

// Shut refuses all requests until Open.
func (g *Gate) Shut() { g.starting.Store(true) }

// Open ends Shut.
func (g *Gate) Open() { g.starting.Store(false) }

// Run watches the time until ctx ends, and returns nil.
func (g *Gate) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ticks := time.NewTicker(beat)
	defer ticks.Stop()
	g.begin(time.Now())
	for {
		select {
		case <-ticks.C:
			g.look(time.Now())
			if g.starts() {
				wg.Go(func() { g.recover(ctx) })
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (g *Gate) begin(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = now
}

// look finds out whether the process was stopped. It returns whether changes
// are refused now, and a channel that is closed once the replica has caught
// up, nil if it has.
func (g *Gate) look(now time.Time) (refuse bool, behind <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.last.IsZero() && now.Sub(g.last) > maxGap {
		g.shut = now.Add(settle)
		if g.behind == nil {
			g.behind = make(chan struct{})
		}
	}
	if !g.last.IsZero() {
		g.last = now
	}
	return now.Before(g.shut), g.behind
}

// starts reports whether the replica has to catch up and nobody is at it yet.
func (g *Gate) starts() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.behind == nil || g.catching {
		return false
	}
	g.catching = true
	return true
}

// recover catches up with the peers, and once more if the process was stopped
// meanwhile.
func (g *Gate) recover(ctx context.Context) {
	for done := false; !done; {
		stop := g.lastStop()
		bounded, cancel := context.WithTimeout(ctx, maxCatchUp)
		_ = g.catchUp(bounded) // a peer that does not answer is no reason to stay shut
		cancel()
		done = g.caughtUp(stop) || ctx.Err() != nil
	}
}

func (g *Gate) lastStop() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// caughtUp lets requests pass unless there was another stop since.
func (g *Gate) caughtUp(stop time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != stop {
		return false
	}
	close(g.behind)
	g.behind, g.catching = nil, false
	return true
}

// Wrap returns next behind the gate.
func (g *Gate) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.starting.Load() {
			refuseOld(w, r)
			return
		}
		now := time.Now()
		refuse, behind := g.look(now)
		if refuse && r.Method != http.MethodGet && r.Method != http.MethodHead {
			refuseOld(w, r)
			return
		}
		if behind != nil {
			select {
			case <-behind:
			case <-r.Context().Done():
				return
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), admittedKey{}, now)))
	})
}

// errOvertaken: the change waited while the process was stopped.
var errOvertaken = errors.New("cart: overtaken by a stop of the process")

// refuseOld says that nothing was done, and may be asked of another replica.
func refuseOld(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(transport.HeaderShed, "1")
	w.Header().Set("Retry-After", "1")
	transport.WriteProblem(w, r, transport.Problem{
		Status: http.StatusServiceUnavailable, Title: "Catching up",
		Detail: "This replica is catching up with the others. Nothing was changed.",
	})
}

// admittedKey is the context key of the time at which the gate let a request
// pass.
type admittedKey struct{}

// overtaken reports whether the process may have been stopped since the gate
// let this request pass: then the gate has not seen it as old, but it may be.
func overtaken(ctx context.Context) bool {
	at, ok := ctx.Value(admittedKey{}).(time.Time)
	return ok && time.Since(at) > maxGap
}
