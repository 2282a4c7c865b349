package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport"
)

// fleet is a network in memory with instances of services on it, for use in a
// synctest bubble.
type fleet struct {
	t      *testing.T
	net    memnet.Network
	static *static.Backend

	mu        sync.Mutex
	instances map[string][]discovery.Instance
	servers   map[string]*transport.Server
	hits      map[string]int
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, instances: map[string][]discovery.Instance{}, servers: map[string]*transport.Server{}, hits: map[string]int{}}
	var err error
	if f.static, err = static.New(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for addr := range f.servers {
			f.kill(addr)
		}
		if err := f.static.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// start serves h at addr as an instance of service.
func (f *fleet) start(service, addr string, h http.HandlerFunc, opts ...transport.ServerOption) {
	f.t.Helper()
	f.listen(addr, h, opts...)
	f.register(service, addr)
}

// listen serves h at addr without registering it.
func (f *fleet) listen(addr string, h http.HandlerFunc, opts ...transport.ServerOption) *transport.Server {
	f.t.Helper()
	l, err := f.net.Listen(addr)
	if err != nil {
		f.t.Fatal(err)
	}
	srv, err := transport.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.hits[addr]++
		f.mu.Unlock()
		h(w, r)
	}), opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.servers[addr] = srv
	go func() {
		if err := srv.Serve(l); err != nil {
			f.t.Errorf("serve %s: %v", addr, err)
		}
	}()
	return srv
}

func (f *fleet) register(service, addr string) {
	f.t.Helper()
	f.instances[service] = append(f.instances[service], discovery.Instance{ID: addr, Service: service, Addr: addr})
	if err := f.static.Set(service, f.instances[service]); err != nil {
		f.t.Fatal(err)
	}
}

// kill ends the server at addr at once, connections and all.
func (f *fleet) kill(addr string) {
	if srv := f.servers[addr]; srv != nil {
		_ = srv.Close()
	}
}

// hit returns how many requests the handler at addr has seen.
func (f *fleet) hit(addr string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits[addr]
}

func (f *fleet) total() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hits {
		n += h
	}
	return n
}

// client returns a client of the fleet whose choices are the same in each run.
func (f *fleet) client(opts ...transport.ClientOption) *transport.Client {
	f.t.Helper()
	defaults := []transport.ClientOption{transport.WithDialer(f.net.Dial), transport.WithRand(random.New(1))}
	c, err := transport.NewClient(f.static, append(defaults, opts...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			f.t.Error(err)
		}
		c.CloseIdleConnections()
	})
	return c
}

// get makes a call and returns the status and the body.
func get(ctx context.Context, c *transport.Client, url string) (int, string, error) {
	return do(ctx, c, http.MethodGet, url, "", nil)
}

func do(ctx context.Context, c *transport.Client, method, url, body string, header map[string]string) (int, string, error) {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, rd)
	if err != nil {
		return 0, "", err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.HTTPClient().Do(req)
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), errors.Join(err, resp.Body.Close())
}

// answer is a handler that answers with a status and its text.
func answer(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, http.StatusText(status))
	}
}

// after is a handler that answers 200 after d, or not at all if its context
// ends before.
func after(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			w.WriteHeader(http.StatusOK)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}
