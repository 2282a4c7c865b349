package consul

import (
	"context"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// Bounds of Deregister.
const (
	// deregisterLimit bounds it as a whole, deregisterTry one request.
	deregisterLimit = 3 * time.Second
	deregisterTry   = 1500 * time.Millisecond
	// lastRequest is how long a request under way may take to come to its end:
	// an aborted one might be carried out after the deregistration.
	lastRequest = time.Second
)

// Deregister implements [discovery.Registration].
func (r *registration) Deregister(ctx context.Context) error {
	if !r.withdrawn.CompareAndSwap(false, true) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deregisterLimit, errNoAnswer)
	defer cancel()
	defer r.b.release(r.in.ID)
	r.end(ctx)
	var err error
	switch {
	case r.b.isClosed():
		err = discovery.ErrClosed
	case r.tried:
		err = r.withdraw(ctx)
	}
	if err != nil {
		return fmt.Errorf("discovery/consul: deregister %q: %w", r.in.ID, err)
	}
	if r.announced {
		r.log.Info("deregistered from Consul")
	}
	return nil
}

// end stops run and waits for it. A request under way gets a moment to come to
// its end.
func (r *registration) end(ctx context.Context) {
	close(r.stop)
	timer := time.NewTimer(lastRequest)
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	r.abort()
	<-r.done
}

// withdraw takes the instance out. It tries again until ctx ends, but for one
// that never got in: a Consul that was never there needs no goodbye.
func (r *registration) withdraw(ctx context.Context) error {
	for {
		err := r.b.call(ctx, deregisterTry, func(ctx context.Context) error {
			return r.b.client.Agent().ServiceDeregisterOpts(r.in.ID, r.b.query(ctx))
		})
		if err == nil || forgotten(err) || !r.announced {
			return nil
		}
		if sleep(ctx, minBackoff/2) != nil {
			return err
		}
	}
}
