package gabion

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// work is the background work of a service.
type work struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	failed chan error      // the first failure
	mu     sync.Mutex      // orders begin and stop
	ended  bool            // nothing begins any more
	closed context.Context // ends when Close wants Run to return

	closing context.CancelFunc
}

func (w *work) init() {
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.closed, w.closing = context.WithCancel(context.Background())
	w.failed = make(chan error, 1)
}

// stop ends the work and waits for it until ctx ends.
func (w *work) stop(ctx context.Context) error {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.wg.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("gabion: background work did not end: %w", ctx.Err())
	}
}

func (w *work) fail(err error) {
	select {
	case w.failed <- err:
	default: // the first one has ended the service already
	}
}

// begin runs f in the background, unless all work has ended.
func (w *work) begin(f func()) (begun bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	w.wg.Go(f)
	return true
}

// Go runs work in the background until the service ends: its context is
// cancelled once the last request is done, and Run waits for it. If it returns
// an error or panics while the service runs, the service shuts down in order
// and Run returns that error. name says in errors what failed. Work that is
// handed over when the service has ended is not run, and the log says so.
func (s *Service) Go(name string, run func(context.Context) error) {
	begun := s.work.begin(func() {
		if err := guarded(s.work.ctx, run); err != nil && !(s.work.ctx.Err() != nil && errors.Is(err, context.Canceled)) {
			s.work.fail(fmt.Errorf("gabion: %s: %w", name, err))
		}
	})
	if !begun {
		s.Logger().Warn("gabion: background work came too late and is not run", "work", name)
	}
}

// guarded makes an error of a panic.
func guarded(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return run(ctx)
}
