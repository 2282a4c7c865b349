package gossip

import (
	"context"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// sentLimit is for how long Deregister waits until the others were told.
const sentLimit = time.Second

// A registration is one instance that this node announces.
type registration struct {
	b        *Backend
	instance discovery.Instance
	status   discovery.Status   // guarded by b.mu
	stop     context.CancelFunc // ends following the status
}

// Register announces in to the cluster: peers hear of it, and of every change
// of its status, at once. A node has at most 256 instances of 16 KiB each; an
// ID that is registered already is replaced, and the earlier registration is
// at its end. Besides the errors of [discovery.Registrar] there is one for an
// instance that has too much to say.
//
// [discovery.Registration.Err] says so while seeds are given and none answers.
func (b *Backend) Register(ctx context.Context, in discovery.Instance, status discovery.StatusFunc) (discovery.Registration, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	if err := sendable(in); err != nil {
		return nil, fmt.Errorf("gossip: register %q: %w", in.Service, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("gossip: register %q: %w", in.Service, err)
	}
	r := &registration{b: b, instance: in.Clone(), status: discovery.Passing}
	var changed <-chan struct{}
	if status != nil {
		r.status, changed = status()
	}
	if err := b.add(r, status, changed); err != nil {
		return nil, fmt.Errorf("gossip: register %q: %w", in.Service, err)
	}
	return r, nil
}

// add announces r and follows its status while changed can tell of it.
func (b *Backend) add(r *registration, status discovery.StatusFunc, changed <-chan struct{}) error {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	b.mu.Lock()
	old := b.own[r.instance.ID]
	if err := b.room(old); err != nil {
		b.mu.Unlock()
		cancel()
		return err
	}
	msg, _ := b.revise(func() { b.own[r.instance.ID] = r })
	if changed != nil {
		b.wg.Go(func() { r.follow(ctx, status, changed) })
	}
	b.mu.Unlock()
	if old != nil {
		old.stop()
	}
	b.push(msg)
	return nil
}

// room reports why no instance can be added in place of old. b.mu is held.
func (b *Backend) room(old *registration) error {
	if b.closed {
		return discovery.ErrClosed
	}
	if old == nil && len(b.own) >= maxInstances {
		return fmt.Errorf("this node has %d instances already", maxInstances)
	}
	return nil
}

// follow announces each new status until the registration ends, or the status
// cannot change any more.
func (r *registration) follow(ctx context.Context, status discovery.StatusFunc, changed <-chan struct{}) {
	for changed != nil {
		select {
		case <-changed:
		case <-r.b.feed.Done():
			return
		case <-ctx.Done():
			return
		}
		var s discovery.Status
		s, changed = status()
		r.set(s)
	}
}

// set announces s if that is new.
func (r *registration) set(s discovery.Status) {
	b := r.b
	b.mu.Lock()
	if b.own[r.instance.ID] != r || r.status == s {
		b.mu.Unlock()
		return
	}
	msg, _ := b.revise(func() { r.status = s })
	b.mu.Unlock()
	b.push(msg)
}

// Deregister takes the instance out and returns once the others were told: in
// a cluster of up to 33 nodes at once, in a larger one when gossip has carried
// it, bounded by ctx and 1 s.
func (r *registration) Deregister(ctx context.Context) error {
	b := r.b
	r.stop()
	b.mu.Lock()
	if b.own[r.instance.ID] != r {
		b.mu.Unlock()
		return nil
	}
	msg, sent := b.revise(func() { delete(b.own, r.instance.ID) })
	b.mu.Unlock()
	if b.push(msg) {
		return nil
	}
	limit := time.NewTimer(sentLimit)
	defer limit.Stop()
	select {
	case <-sent:
	case <-limit.C:
	case <-b.feed.Done():
	case <-ctx.Done():
		return fmt.Errorf("gossip: deregister %q: %w", r.instance.Service, context.Cause(ctx))
	}
	return nil
}

// Err returns why nobody hears of the instance.
func (r *registration) Err() error {
	b := r.b
	b.mu.Lock()
	registered := b.own[r.instance.ID] == r
	b.mu.Unlock()
	if !registered {
		return discovery.ErrClosed
	}
	if err := b.trouble.Load(); err != nil {
		return *err
	}
	return nil
}
