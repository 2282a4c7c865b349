package gabion

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// deregisterTimeout bounds the leaving of the registry: one that hangs must
// not keep a service from ending.
const deregisterTimeout = 3 * time.Second

// stepTimeout bounds each step of closing what New opened, telemetry included.
const stepTimeout = 3 * time.Second

// stepGrace is how long a step whose time is up is waited for.
const stepGrace = 100 * time.Millisecond

// Run serves until ctx ends, or SIGTERM or SIGINT arrives (see [WithSignals]), or
// background work fails, and returns when everything is drained: nil, unless
// something failed. A second signal ends the process at once with status 1. Run
// can be called once.
func (s *Service) Run(ctx context.Context) error {
	if !s.started.CompareAndSwap(false, true) {
		return ErrStarted
	}
	ctx, stop := s.signals(ctx)
	defer stop()
	defer close(s.ended)
	err := s.run(ctx)
	return errors.Join(err, s.finish())
}

// signals returns a context that ends with the first signal. The second one
// ends the process.
func (s *Service) signals(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	if len(s.cfg.signals) == 0 { // which Notify would take for all of them
		return ctx, cancel
	}
	got := make(chan os.Signal, 2)
	signal.Notify(got, s.cfg.signals...)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case sig := <-got:
				if n > 0 {
					s.log.Error("gabion: second signal, exiting at once", "signal", sig.String())
					os.Exit(1)
				}
				s.log.Info("gabion: shutting down", "signal", sig.String())
				cancel()
			}
		}
	}()
	return ctx, func() {
		signal.Stop(got)
		close(done)
		cancel()
	}
}

// run is Run between the signals and the closing of what New opened.
func (s *Service) run(ctx context.Context) error {
	l, err := s.listen()
	if err != nil {
		return err
	}
	served := make(chan error, 2)
	admin := s.adminServer()
	var serving sync.WaitGroup
	serving.Go(func() { served <- s.server.Serve(l.public) })
	serving.Go(func() { served <- serveAdmin(admin, l.admin) })
	defer serving.Wait() // a listener that was hardly open is closed by its server
	s.Go("health checks", s.health.Run)
	for _, f := range s.followers {
		s.Go("policies", f.Run)
	}

	delay := s.cfg.drainDelay
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	stopWaiting := context.AfterFunc(s.work.closed, cancel)
	defer stopWaiting()
	registration, err := s.start(starting, l)
	switch {
	case err == nil:
		err = s.wait(starting, served)
	case starting.Err() != nil:
		err = nil // told to stop while starting: that is no failure
	}
	if registration == nil && !s.ready {
		delay = 0 // nobody has been told to come
	}
	return errors.Join(err, s.shutdown(ctx, delay, registration, admin))
}

// listen opens both listeners and settles the address to be told to others.
func (s *Service) listen() (*listeners, error) {
	public := s.cfg.listener
	if public == nil {
		var err error
		if public, err = net.Listen("tcp", s.cfg.addr); err != nil {
			return nil, fmt.Errorf("gabion: listen on the address (GABION_ADDR): %w", err)
		}
	}
	admin := s.cfg.adminListener
	if admin == nil {
		var err error
		if admin, err = net.Listen("tcp", s.cfg.adminAddr); err != nil {
			return nil, errors.Join(fmt.Errorf("gabion: listen on the admin address (GABION_ADMIN_ADDR): %w", err), public.Close())
		}
	}
	addr, err := advertised(s.cfg.advertise, public.Addr())
	if err != nil {
		return nil, errors.Join(err, public.Close(), admin.Close())
	}
	in := s.cfg.instance
	in.Addr = addr
	in.Meta = maps.Clone(in.Meta)
	if in.Meta["admin"], err = advertisedAdmin(admin.Addr()); err != nil {
		return nil, errors.Join(err, public.Close(), admin.Close())
	}
	l := &listeners{public: public, admin: admin, instance: in}
	s.listening.Store(l)
	return l, nil
}

// start waits for the policies, runs the startup steps, becomes ready and registers.
func (s *Service) start(ctx context.Context, l *listeners) (discovery.Registration, error) {
	s.awaitPolicies(ctx)
	for _, step := range s.cfg.startup {
		if err := guarded(ctx, step.run); err != nil {
			return nil, fmt.Errorf("gabion: startup step %q: %w", step.name, err)
		}
	}
	s.health.MarkStarted()
	s.ready = true
	registration, err := s.backend.Register(ctx, l.instance, s.health.Status)
	switch {
	case errors.Is(err, discovery.ErrReadOnly): // others are told by other means
		registration = nil
		s.regErr.Store(&err)
	case err != nil:
		return nil, fmt.Errorf("gabion: register: %w", err)
	}
	s.log.InfoContext(ctx, "gabion: serving", "service", s.cfg.name, "instance", l.instance.ID,
		"addr", l.instance.Addr, "admin", l.admin.Addr().String(), "version", l.instance.Version, "zone", l.instance.Zone)
	if registration != nil {
		s.Go("registration watch", func(context.Context) error { return s.watchRegistration(ctx, registration) })
	}
	for _, f := range s.cfg.onReady {
		if err := guarded(ctx, func(context.Context) error { f(s); return nil }); err != nil {
			return registration, fmt.Errorf("gabion: when ready: %w", err)
		}
	}
	return registration, nil
}

// watchRegistration logs when the instance ceases to be announced and when it
// is again, and keeps the state for /debug/gabion, until the service is told to
// end. What lasts no longer than a look is not worth a line: registering takes
// its time.
func (s *Service) watchRegistration(ctx context.Context, r discovery.Registration) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	missed, told := 0, false
	for ctx.Err() == nil {
		err := r.Err()
		s.regErr.Store(&err)
		if err == nil {
			missed = 0
		} else {
			missed++
		}
		switch {
		case missed == 2 && !told:
			told = true
			s.log.Warn("gabion: not registered, will keep trying", "service", s.cfg.name, "error", err)
		case missed == 0 && told:
			told = false
			s.log.Info("gabion: registered again", "service", s.cfg.name)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// wait blocks until the service is to end, and returns why if it failed.
func (s *Service) wait(ctx context.Context, served <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.work.failed:
		return err
	case err := <-served:
		if err == nil {
			err = errors.New("gabion: a listener was closed")
		}
		return err
	}
}

// shutdown ends the service in the order that loses no request.
func (s *Service) shutdown(ctx context.Context, delay time.Duration, r discovery.Registration, admin *http.Server) error {
	ctx = context.WithoutCancel(ctx)
	s.health.SetDraining()
	var errs []error
	if r != nil {
		leaving, cancel := context.WithTimeout(ctx, deregisterTimeout)
		if err := r.Deregister(leaving); err != nil {
			s.log.WarnContext(ctx, "gabion: deregister", "error", err)
		}
		cancel()
	}
	s.server.Drain()
	time.Sleep(delay) // callers and load balancers need time to notice
	ending, cancel := context.WithTimeout(ctx, s.cfg.shutdownTimeout)
	defer cancel()
	errs = append(errs, s.server.Shutdown(ending))
	rest, cancelRest := context.WithTimeout(ctx, max(time.Second, s.cfg.shutdownTimeout))
	defer cancelRest()
	errs = append(errs, s.work.stop(rest))
	_ = admin.Close() // probes and scrapes may break off
	s.log.InfoContext(ctx, "gabion: stopped", "service", s.cfg.name)
	return errors.Join(errs...)
}
