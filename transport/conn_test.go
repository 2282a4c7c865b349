package transport_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
)

// host is a server that counts its connections.
type host struct {
	discovery.Instance
	mu   sync.Mutex
	open map[net.Conn]bool
	seen int
}

func (h *host) track(c net.Conn, s http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s {
	case http.StateNew:
		h.open[c] = true
		h.seen++
	case http.StateClosed, http.StateHijacked:
		delete(h.open, c)
	}
}

// conns returns how many connections are open, and how many there have been.
func (h *host) conns() (open, seen int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open), h.seen
}

// closed waits until no connection is left, which a server learns after its
// caller has gone on. Nothing else would close them for 90 s.
func (h *host) closed(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		open, _ := h.conns()
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still has %d connections", h.ID, open)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// hosts starts servers for h on sockets, all instances of the service pricing.
// Each says its name in the header Served-By.
func hosts(t *testing.T, h http.Handler, p *http.Protocols, ids ...string) map[string]*host {
	t.Helper()
	return hostsOn(t, func(string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }, h, p, ids...)
}

// hostsIn is hosts in a network in memory, for use in a synctest bubble.
func hostsIn(t *testing.T, n *memnet.Network, h http.Handler, p *http.Protocols, ids ...string) map[string]*host {
	t.Helper()
	return hostsOn(t, func(id string) (net.Listener, error) { return n.Listen(id + ":1") }, h, p, ids...)
}

func hostsOn(t *testing.T, listen func(id string) (net.Listener, error), h http.Handler, p *http.Protocols, ids ...string) map[string]*host {
	t.Helper()
	all := map[string]*host{}
	for _, id := range ids {
		l, err := listen(id)
		if err != nil {
			t.Fatal(err)
		}
		one := &host{
			Instance: discovery.Instance{ID: id, Service: "pricing", Addr: l.Addr().String()},
			open:     map[net.Conn]bool{},
		}
		srv := &http.Server{Protocols: p, ConnState: one.track, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Served-By", id)
			h.ServeHTTP(w, r)
		})}
		go func() { _ = srv.Serve(l) }()
		t.Cleanup(func() { _ = srv.Close() })
		all[id] = one
	}
	return all
}

// lists returns the instances of these hosts.
func lists(all map[string]*host, ids ...string) []discovery.Instance {
	var list []discovery.Instance
	for _, id := range ids {
		list = append(list, all[id].Instance)
	}
	return list
}

// registryOf returns a registry that knows pricing, and a function that changes
// what it knows.
func registryOf(t *testing.T, list []discovery.Instance) (*static.Backend, func([]discovery.Instance)) {
	t.Helper()
	r, err := static.New(map[string][]discovery.Instance{"pricing": list})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r, func(list []discovery.Instance) {
		t.Helper()
		if err := r.Set("pricing", list); err != nil {
			t.Error(err)
		}
	}
}

// callAll makes n calls at the same time and fails the test if one does.
func callAll(t *testing.T, c *transport.Client, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if status, _, err := get(t.Context(), c, "http://pricing/"); err != nil || status != 200 {
				t.Errorf("got %d %v", status, err)
			}
		})
	}
	wg.Wait()
}

// until calls until an answer comes from the host, and returns its response.
func until(t *testing.T, c *transport.Client, url, id string) *http.Response {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		resp, err := c.HTTPClient().Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Header.Get("Served-By") == id {
			return resp
		}
		_ = resp.Body.Close()
	}
	t.Fatalf("no call goes to %s", id)
	return nil
}

var speaks = map[string]func(*http.Protocols){
	"http1": func(p *http.Protocols) { p.SetHTTP1(true) },
	"http2": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
}

// slowly answers in two halves. For /slow the second comes when rest is closed.
func slowly(rest <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/slow" {
			<-rest
		} else {
			time.Sleep(time.Millisecond) // so that calls overlap
		}
		_, _ = io.WriteString(w, "whole")
	}
}

// An endpoint that leaves loses its idle connections at once and those in use
// when their calls have ended; one that comes back is connected to again.
func TestConnectionsEndWithTheEndpoint(t *testing.T) {
	for name, speak := range speaks {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			var p http.Protocols
			speak(&p)
			rest := make(chan struct{})
			all := hosts(t, slowly(rest), &p, "a", "b")
			both, one := lists(all, "a", "b"), lists(all, "a")
			registry, set := registryOf(t, both)
			c, err := transport.NewClient(registry, transport.WithProtocols(&p),
				transport.WithServicePolicy("pricing", transport.Policy{Timeout: time.Minute, AttemptTimeout: time.Minute, Balance: balance.Policy{Name: balance.RoundRobin, SlowStart: -1}}))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			callAll(t, c, 20)
			slow := until(t, c, "http://pricing/slow", "b")
			before := c.Services()[0].Balancer.Endpoints()[1]

			set(one)
			if name == "http1" { // only that of the call in flight is left
				for open, _ := all["b"].conns(); open != 1; open, _ = all["b"].conns() {
					time.Sleep(time.Millisecond)
				}
			}
			callAll(t, c, 20)
			close(rest)
			if body, err := io.ReadAll(slow.Body); err != nil || string(body) != "halfwhole" {
				t.Errorf("the call in flight read %q %v", body, err)
			}
			_ = slow.Body.Close()
			all["b"].closed(t)

			_, seen := all["b"].conns()
			set(both)
			back := until(t, c, "http://pricing/", "b")
			_, _ = io.Copy(io.Discard, back.Body) // or its connection may be closed
			_ = back.Body.Close()
			if open, again := all["b"].conns(); open == 0 || again == seen {
				t.Errorf("%d connections, %d of them new, want a new one", open, again-seen)
			}
			if after := c.Services()[0].Balancer.Endpoints()[1]; after != before {
				t.Error("it came back as another endpoint")
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			all["a"].closed(t)
			all["b"].closed(t)
		})
	}
}

// leaver makes its endpoint leave between the pick and the sending.
type leaver struct {
	watcher
	leave func(c *transport.Attempt)
}

func (l leaver) StartAttempt(ctx context.Context, _ *transport.Call, a *transport.Attempt) context.Context {
	l.leave(a)
	return ctx
}

// watcher is an observer that does nothing.
type watcher struct{}

func (watcher) StartCall(ctx context.Context, _ *transport.Call) context.Context { return ctx }
func (watcher) StartAttempt(ctx context.Context, _ *transport.Call, _ *transport.Attempt) context.Context {
	return ctx
}
func (watcher) EndAttempt(context.Context, *transport.Call, *transport.Attempt) {}
func (watcher) EndCall(context.Context, *transport.Call)                        {}
func (watcher) StartService(transport.ServiceState) func()                      { return nil }

// A call that was on its way to an endpoint when that left connects to it, and
// leaves no connection behind.
func TestConnectionsAfterTheEndpointHasLeft(t *testing.T) {
	for name, speak := range speaks {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			var p http.Protocols
			speak(&p)
			all := hosts(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }), &p, "a", "b")
			registry, set := registryOf(t, lists(all, "a"))
			var c *transport.Client
			c, err := transport.NewClient(registry, patient, transport.WithProtocols(&p), transport.WithObserver(leaver{leave: func(a *transport.Attempt) {
				set(lists(all, "b"))
				for c.Services()[0].Balancer.Endpoints()[0].ID() != "b" {
					time.Sleep(time.Millisecond)
				}
			}}))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			resp, err := c.HTTPClient().Get("http://pricing/")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.Header.Get("Served-By") != "a" || err != nil || string(body) != "OK" {
				t.Errorf("%s said %q %v", resp.Header.Get("Served-By"), body, err)
			}
			all["a"].closed(t)
		})
	}
}

// A change of policy makes endpoints leave too.
func TestConnectionsEndWithTheSubset(t *testing.T) {
	leaktest.Check(t)
	all := hosts(t, slowly(nil), nil, "a", "b", "c")
	registry, _ := registryOf(t, lists(all, "a", "b", "c"))
	c, err := transport.NewClient(registry, transport.WithServicePolicy("pricing",
		transport.Policy{Timeout: time.Minute, AttemptTimeout: time.Minute, Balance: balance.Policy{Name: balance.RoundRobin, SlowStart: -1}}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	callAll(t, c, 20)
	b := c.Services()[0].Balancer
	if err := b.SetPolicy(balance.Policy{Subset: balance.Subset{MinEndpoints: 2, Size: 1}}); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Endpoints()); n != 1 {
		t.Fatalf("%d endpoints are in use, want 1", n)
	}
	for id, h := range all {
		if id != b.Endpoints()[0].ID() {
			h.closed(t)
		}
	}
	callAll(t, c, 1)
}

// openConn is counted while it is open.
type openConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *openConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// A connection that is too old for new requests ends with the stream on it.
func TestOldConnectionsEndWithTheirStreams(t *testing.T) {
	for name, speak := range speaks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p http.Protocols
				speak(&p)
				f := newFleet(t)
				f.start("pricing", "a:1", func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).Flush()
					if r.URL.Path == "/stream" {
						time.Sleep(20 * time.Second)
					}
				}, transport.WithServerProtocols(&p))
				var open atomic.Int64
				c := f.client(transport.WithProtocols(&p), transport.WithMaxConnAge(10*time.Second),
					transport.WithServicePolicy("pricing", transport.Policy{Timeout: time.Hour}),
					transport.WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
						conn, err := f.net.Dial(ctx, network, addr)
						if err == nil {
							open.Add(1)
							conn = &openConn{Conn: conn, open: &open}
						}
						return conn, err
					}))
				resp, err := c.HTTPClient().Get("http://pricing/stream")
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(11 * time.Second)
				_, _, _ = get(t.Context(), c, "http://pricing/")
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if n := open.Load(); n != 2 {
					t.Errorf("%d connections while the stream goes on, want its own and a new one", n)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if n := open.Load(); n != 1 {
					t.Errorf("%d connections after the stream, want the new one", n)
				}
			})
		})
	}
}
