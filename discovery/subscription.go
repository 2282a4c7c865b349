package discovery

import (
	"context"
	"fmt"
	"sync"
)

// A Subscription is one user's view of a service in a [Directory]. All methods
// may be called at the same time.
type Subscription struct {
	directory *Directory
	watch     *watch
	once      sync.Once
}

// Current returns what is known now, nil before the first answer. It is one
// atomic load and takes no lock. The snapshot is shared and must not be
// changed.
func (s *Subscription) Current() *Snapshot { return s.watch.state.Load().snapshot }

// Changed returns a channel that is closed when Current gives another list,
// when the registry begins to fail or recovers, and when the watch ends. Ask
// for the channel first and for Current after it, and no change is missed:
//
//	for {
//		changed := s.Changed()
//		use(s.Current())
//		select {
//		case <-changed:
//		case <-ctx.Done():
//			return
//		}
//	}
//
// Once the directory has been closed there are no more changes, and the
// channel stays open.
func (s *Subscription) Changed() <-chan struct{} { return s.watch.state.Load().changed }

// Wait returns the current snapshot, or the first one as soon as it comes. The
// error says that ctx ended first, and wraps the last failure of the registry
// too, or matches [ErrClosed] when the directory has been closed.
func (s *Subscription) Wait(ctx context.Context) (*Snapshot, error) {
	for {
		st := s.watch.state.Load()
		if st.snapshot != nil {
			return st.snapshot, nil
		}
		if st.ended {
			return nil, fmt.Errorf("discovery: wait for %q: %w", s.watch.service, ErrClosed)
		}
		select {
		case <-st.changed:
		case <-ctx.Done():
			return nil, s.waitError(ctx, st.err)
		}
	}
}

func (s *Subscription) waitError(ctx context.Context, last error) error {
	if last == nil {
		return fmt.Errorf("discovery: wait for %q: %w", s.watch.service, context.Cause(ctx))
	}
	return fmt.Errorf("discovery: wait for %q: %w; last: %w", s.watch.service, context.Cause(ctx), last)
}

// Close gives the subscription up. It never blocks and does not wake a Wait
// that is under way. A second Close does nothing.
func (s *Subscription) Close() { s.once.Do(func() { s.directory.leave(s.watch) }) }

// each yields the list, and then every change, until ctx, the loop or the
// watch ends.
func (s *Subscription) each(ctx context.Context, yield func([]Instance, error) bool) {
	var version uint64 // of the list that was yielded last
	var failed bool    // an error was yielded after it
	for ctx.Err() == nil {
		st := s.watch.state.Load()
		if st.ended {
			return
		}
		more := true
		switch {
		case st.err != nil:
			failed = true
			more = yield(nil, st.err)
		case st.snapshot != nil && (failed || st.snapshot.Version != version):
			version, failed = st.snapshot.Version, false
			more = yield(CloneList(st.snapshot.Instances), nil)
		}
		if !more {
			return
		}
		select {
		case <-st.changed:
		case <-ctx.Done():
		}
	}
}
