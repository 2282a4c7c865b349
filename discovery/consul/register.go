package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/time/rate"

	"github.com/gabion-go/gabion/discovery"
)

// Rates of a registration's requests.
const (
	retryBeat = 2 * time.Second // longest pause after a heartbeat that failed
	changes   = 5               // changes of status that are reported per second
)

var (
	errPending   = errors.New("discovery/consul: not registered yet")
	errWithdrawn = errors.New("discovery/consul: withdrawn")
	errForgotten = errors.New("discovery/consul: the agent does not know the instance any more")
	errToken     = errors.New("discovery/consul: the token changed")
)

// Register implements [discovery.Registrar]. It refuses what Consul would: an
// ID with spaces or slashes, metadata beyond Consul's limits, an ID that this
// backend has registered already.
//
// Deregister takes 3 s at the most, whatever Consul does; what it could not
// take out becomes critical after the TTL, or with the next check of the
// agent. It withdraws nothing after Close.
func (b *Backend) Register(ctx context.Context, in discovery.Instance, status discovery.StatusFunc) (discovery.Registration, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := validate(in); err != nil {
		return nil, err
	}
	if status == nil {
		status = func() (discovery.Status, <-chan struct{}) { return discovery.Passing, nil }
	}
	r := &registration{
		b:       b,
		in:      in.Clone(),
		status:  status,
		log:     b.log.With("service", in.Service, "id", in.ID),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		changes: rate.NewLimiter(changes, changes),
		err:     errPending,
	}
	r.ctx, r.abort = context.WithCancel(b.ctx)
	if err := b.claim(in.ID, r.run); err != nil {
		r.abort()
		return nil, err
	}
	return r, nil
}

// A registration is one announced instance. One goroutine, run, sends all of
// its requests but the last, so that nothing can overtake a deregistration.
type registration struct {
	b      *Backend
	in     discovery.Instance
	status discovery.StatusFunc
	log    *slog.Logger

	withdrawn atomic.Bool
	stop      chan struct{}      // closed by Deregister: begin nothing more
	done      chan struct{}      // closed when run has ended
	ctx       context.Context    // of requests
	abort     context.CancelFunc // ends ctx

	// What run knows. Deregister reads tried and announced after done.
	tried     bool             // a register request was sent
	announced bool             // one succeeded
	sent      discovery.Status // what Consul was told last
	token     string           // what it was told with
	changes   *rate.Limiter

	mu  sync.Mutex
	err error
}

// Err implements [discovery.Registration].
func (r *registration) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// run keeps the instance registered until stop or the end of ctx.
func (r *registration) run() {
	defer close(r.done)
	defer r.abort()
	var pause backoff
	for !r.ending() {
		if err := r.register(); err != nil {
			r.failed(fmt.Errorf("discovery/consul: register %q: %w", r.in.ID, err))
			r.wait(pause.next())
			continue
		}
		pause.reset()
		if err := r.keep(); err != nil {
			r.failed(err) // and register again, at once
		}
	}
	r.setErr(errWithdrawn)
}

// ending reports whether run is to end.
func (r *registration) ending() bool {
	select {
	case <-r.stop:
		return true
	case <-r.ctx.Done():
		return true
	default:
		return false
	}
}

// wait sleeps for d or until run is to end.
func (r *registration) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.stop:
	case <-r.ctx.Done():
	}
}

// register tells Consul everything, the status of this moment included.
func (r *registration) register() error {
	status, _ := r.status()
	service, err := r.b.payload(r.in, status)
	if err != nil {
		return err
	}
	token := r.b.tokens.current()
	r.tried = true
	err = r.b.call(r.ctx, callTimeout, func(ctx context.Context) error {
		opts := api.ServiceRegisterOpts{ReplaceExistingChecks: true, Token: token}.WithContext(ctx)
		return r.b.client.Agent().ServiceRegisterOpts(service, opts)
	})
	if err != nil {
		return err
	}
	r.announced, r.sent, r.token = true, status, token
	r.succeeded()
	return nil
}

// keep looks after a registration until it is lost, which the error explains,
// or run is to end. It sends a heartbeat at regular times and each change of
// status at once. A request that fails is not a loss: the next one tells.
func (r *registration) keep() error {
	next := time.Now().Add(r.interval())
	retrying := false
	for {
		status, changed := r.status()
		if retrying {
			changed = nil // the retry reports what is true by then
		}
		due := !time.Now().Before(next) || status != r.sent && !retrying
		if !due {
			if !r.await(changed, time.Until(next)) {
				return nil
			}
			continue
		}
		next = time.Now().Add(r.interval())
		err := r.tell(status)
		switch {
		case r.ending():
			return nil
		case err == nil:
			retrying = false
			r.succeeded()
		case errors.Is(err, errForgotten), errors.Is(err, errToken):
			return err
		default:
			retrying = true
			r.failed(fmt.Errorf("discovery/consul: heartbeat %q: %w", r.in.ID, err))
			next = earlier(next, time.Now().Add(retryBeat))
		}
	}
}

// await sleeps until changed, for d at the most, and reports whether run goes
// on. Changes that follow each other quickly are taken together.
func (r *registration) await(changed <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
		r.wait(r.changes.Reserve().Delay())
	case <-r.stop:
	case <-r.ctx.Done():
	}
	return !r.ending()
}

// interval returns the time between two heartbeats. A third of the TTL leaves
// room for one that hangs until it is given up.
func (r *registration) interval() time.Duration {
	if r.b.conf.Check == CheckTTL {
		return time.Duration(r.b.conf.TTL) / 3
	}
	return time.Duration(r.b.conf.Interval)
}

// tell reports status, or makes sure that an instance which Consul checks by
// itself is still there.
func (r *registration) tell(status discovery.Status) error {
	if r.b.tokens.current() != r.token {
		return errToken
	}
	if r.b.conf.Check != CheckTTL && status != r.sent {
		return r.register()
	}
	limit := min(r.interval(), callTimeout)
	err := r.b.call(r.ctx, limit, func(ctx context.Context) error {
		agent, q := r.b.client.Agent(), r.b.query(ctx)
		if r.b.conf.Check != CheckTTL {
			_, _, err := agent.Service(r.in.ID, q)
			return err
		}
		return agent.UpdateTTLOpts(checkID(r.in.ID), "reported by the service", status.String(), q)
	})
	if forgotten(err) {
		return fmt.Errorf("%w: %w", errForgotten, err)
	}
	if err == nil {
		r.sent = status
	}
	return err
}

// failed notes why the instance is not announced and logs the first of a row.
func (r *registration) failed(err error) {
	if r.ending() {
		return
	}
	if errors.Is(err, errToken) {
		r.log.Info("registering with Consul again, with the new token")
		return
	}
	level := slog.LevelDebug
	if old := r.Err(); old == nil || errors.Is(old, errPending) {
		level = slog.LevelWarn
	}
	r.setErr(err)
	r.log.Log(r.ctx, level, "not registered with Consul, trying on", "error", err)
}

// succeeded notes that the instance is announced.
func (r *registration) succeeded() {
	if r.Err() != nil {
		r.setErr(nil)
		r.log.Info("registered with Consul", "status", r.sent)
	}
}

func (r *registration) setErr(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
