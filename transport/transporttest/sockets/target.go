package sockets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/transporttest"
)

// A Target is a real server. Its functions may be nil, and are not called at the
// same time.
type Target struct {
	// Addr is where it listens, host:port.
	Addr string
	// HTTP forwards requests to it and not bytes, as HTTP/1.1, so that faults of
	// handlers can fall upon it. Default false; [Run] sets it if it must.
	HTTP bool

	// Crash kills the server at once, for a fault of that kind.
	Crash func() error
	// Stop has it end in order and returns when it has, for a Restart.
	Stop func() error
	// Start starts it again, at Addr, after a Crash or a Stop. It returns when
	// the server listens.
	Start func() error
	// Pause freezes it, and Resume ends that.
	Pause, Resume func() error

	found func() // called once it can be found in the registry; nil is nothing
}

// drain is how long a server that is to stop goes on after it has left the
// registry. It is the default of transporttest.WithDrain.
const drain = 2 * time.Second

// port is where a target's host listens in the network.
const port = "80"

// Program returns what a host of a network runs to stand for t: it registers
// itself and leads everybody who calls it to the server. An error of t's
// functions ends it.
func (t Target) Program() transporttest.Main {
	var turns sync.Map // by host, a lock that its process holds
	return func(ctx context.Context, p *transporttest.Process) error {
		turn, _ := turns.LoadOrStore(p.Host(), new(sync.Mutex))
		turn.(*sync.Mutex).Lock() // once the server of its predecessor has ended, too
		defer turn.(*sync.Mutex).Unlock()
		if p.Run() > 1 {
			if ctx.Err() != nil {
				return nil // there is nothing to end
			}
			if err := call(t.Start); err != nil {
				return fmt.Errorf("sockets: start %s: %w", p.Host().Name(), err)
			}
		}
		l, err := p.Listen(port)
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		stop := t.serve(p, l, &wg)
		err = t.stay(ctx, p)
		stop()
		wg.Wait()
		return err
	}
}

// serve leads those who connect to l to the server, until stop is called.
func (t Target) serve(p *transporttest.Process, l net.Listener, wg *sync.WaitGroup) (stop func()) {
	if t.HTTP {
		return t.serveHTTP(p, l, wg)
	}
	s := newSplices()
	wg.Go(func() {
		s.accept(l, func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", t.Addr)
		})
	})
	return func() {
		_ = l.Close() // returns nil always
		s.close()
	}
}

// serveHTTP is serve by request.
func (t Target) serveHTTP(p *transporttest.Process, l net.Listener, wg *sync.WaitGroup) (stop func()) {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: t.Addr})
			r.Out.Host = r.In.Host
		},
		Transport: transport,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	srv := &http.Server{Handler: p.Handler(forward), ErrorLog: forward.ErrorLog, ReadHeaderTimeout: time.Minute}
	wg.Go(func() { _ = srv.Serve(l) }) // returns ErrServerClosed always
	return func() {
		_ = srv.Close() // closes what is going to be thrown away
		transport.CloseIdleConnections()
	}
}

// stay is in the registry until ctx ends, and then does to the server what is
// done to the process.
func (t Target) stay(ctx context.Context, p *transporttest.Process) error {
	registry := p.Registry()
	defer func() { _ = registry.Close() }() // returns nil always
	in := p.Instance("", 1)
	reg, err := registry.Register(ctx, in, nil)
	if err != nil {
		return err
	}
	if t.found != nil {
		awaitListed(ctx, registry, in)
		t.found()
	}
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), transporttest.ErrCrashed) {
		return call(t.Crash)
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := reg.Deregister(grace); err != nil && !errors.Is(err, transporttest.ErrRegistryDown) {
		return nil // the network has ended, and nobody is left to tell
	}
	<-grace.Done()
	return call(t.Stop)
}

// awaitListed waits until the registry lists in, or ctx ends.
func awaitListed(ctx context.Context, registry discovery.Resolver, in discovery.Instance) {
	for list := range registry.Watch(ctx, in.Service) {
		if slices.ContainsFunc(list, in.Equal) {
			return
		}
	}
}

func call(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}
