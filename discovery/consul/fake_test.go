package consul_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/consul"
)

// fake behaves like a Consul agent, as far as the backend uses one, over
// connections in memory, so that it works in a synctest bubble.
type fake struct {
	t   testing.TB
	net *memory
	// running counts the server and the requests that it answers.
	running sync.WaitGroup

	mu       sync.Mutex
	services map[string]*fakeService
	index    uint64
	changed  chan struct{} // closed when index moves
	log      []request
	script   http.HandlerFunc // answers health reads in place of the fake
	refuse   func(http.ResponseWriter, *http.Request) bool
	blocked  int // health reads under way
	most     int // the greatest value of blocked
}

type fakeService struct {
	api.AgentServiceRegistration
	status  string
	updated time.Time
	ttl     time.Duration
}

// request is one that the fake has received.
type request struct {
	at    time.Time
	kind  string // register, deregister, update, health, service, other
	path  string
	query string
	token string
}

// newFake starts a fake that ends with the test.
func newFake(t testing.TB) *fake {
	return newFakeTLS(t, nil)
}

// newFakeTLS starts a fake that speaks HTTPS if conf is not nil.
func newFakeTLS(t testing.TB, conf *tls.Config) *fake {
	f := &fake{t: t, net: newMemory(), services: map[string]*fakeService{}, index: 10, changed: make(chan struct{})}
	server := &http.Server{Handler: f}
	var l net.Listener = f.net
	if conf != nil {
		l = tls.NewListener(l, conf)
		server.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	}
	f.running.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		f.running.Wait()
	})
	return f
}

// open returns a backend on the fake that ends before it.
func (f *fake) open(conf consul.Config, opts ...consul.Option) *consul.Backend {
	f.t.Helper()
	if conf.Address == "" {
		conf.Address = "consul.test:8500"
	}
	b, err := consul.New(conf, append([]consul.Option{consul.WithDialer(f.net.Dial)}, opts...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { b.Close() })
	return b
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.running.Add(1)
	defer f.running.Done()
	body, err := io.ReadAll(r.Body) // all of it, so that r.Context ends with the connection
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	kind := f.note(r)
	f.mu.Lock()
	refuse := f.refuse
	f.mu.Unlock()
	if refuse != nil && refuse(w, r) {
		return
	}
	id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch kind {
	case "register":
		f.register(w, r)
	case "deregister":
		f.deregister(w, id)
	case "update":
		f.update(w, r, strings.TrimPrefix(id, "service:"))
	case "service":
		f.show(w, id)
	case "health":
		f.health(w, r, id)
	default:
		http.NotFound(w, r)
	}
}

// note logs r and says what it is.
func (f *fake) note(r *http.Request) string {
	kind := "other"
	for prefix, k := range map[string]string{
		"/v1/agent/service/register":    "register",
		"/v1/agent/service/deregister/": "deregister",
		"/v1/agent/check/update/":       "update",
		"/v1/health/service/":           "health",
	} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			kind = k
		}
	}
	if kind == "other" && strings.HasPrefix(r.URL.Path, "/v1/agent/service/") {
		kind = "service"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, request{time.Now(), kind, r.URL.Path, r.URL.RawQuery, r.Header.Get("X-Consul-Token")})
	return kind
}

func (f *fake) register(w http.ResponseWriter, r *http.Request) {
	var s fakeService
	if err := json.NewDecoder(r.Body).Decode(&s.AgentServiceRegistration); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.status, s.updated = s.Check.Status, time.Now()
	s.ttl, _ = time.ParseDuration(s.Check.TTL)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.services[s.ID] = &s
	f.moved()
}

func (f *fake) deregister(w http.ResponseWriter, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.services[id] == nil {
		http.Error(w, fmt.Sprintf("Unknown service ID %q", id), http.StatusNotFound)
		return
	}
	delete(f.services, id)
	f.moved()
}

func (f *fake) update(w http.ResponseWriter, r *http.Request, id string) {
	var update struct{ Status string }
	if err := json.NewDecoder(r.Body).Decode(&update); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.services[id]
	if s == nil || s.Check.CheckID != "service:"+id || s.Check.TTL == "" {
		http.Error(w, fmt.Sprintf("Unknown check ID %q", "service:"+id), http.StatusNotFound)
		return
	}
	s.updated = time.Now()
	if s.status != update.Status {
		s.status = update.Status
		f.moved()
	}
}

func (f *fake) show(w http.ResponseWriter, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.services[id] == nil {
		http.Error(w, "unknown service ID: "+id, http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(api.AgentService{ID: id})
}

func (f *fake) health(w http.ResponseWriter, r *http.Request, service string) {
	f.mu.Lock()
	f.blocked++
	f.most = max(f.most, f.blocked)
	script := f.script
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.blocked--
		f.mu.Unlock()
	}()
	if script != nil {
		script(w, r)
		return
	}
	f.await(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	answer(w, f.index, f.entries(service))
}

// await blocks as Consul does.
func (f *fake) await(r *http.Request) {
	after, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	if after == 0 {
		return
	}
	over := time.After(wait)
	for {
		f.mu.Lock()
		index, changed := f.index, f.changed
		f.mu.Unlock()
		if index > after {
			return
		}
		select {
		case <-changed:
		case <-over:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// entries returns the health entries of service. f.mu is held.
func (f *fake) entries(service string) []*api.ServiceEntry {
	list := []*api.ServiceEntry{}
	for _, id := range slices.Sorted(maps.Keys(f.services)) {
		s := f.services[id]
		if s.Name == service {
			e := entry(s.ID, s.Address, s.Port, f.statusOf(s))
			e.Service.Tags, e.Service.Meta, e.Service.Weights = s.Tags, s.Meta, *s.Weights
			list = append(list, e)
		}
	}
	return list
}

func (f *fake) statusOf(s *fakeService) string {
	if s.ttl > 0 && time.Since(s.updated) > s.ttl {
		return api.HealthCritical
	}
	return s.status
}

// moved wakes blocked reads. f.mu is held.
func (f *fake) moved() {
	f.index++
	close(f.changed)
	f.changed = make(chan struct{})
}

// status returns the status of an instance, or "" if there is none.
func (f *fake) status(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.services[id]; s != nil {
		return f.statusOf(s)
	}
	return ""
}

// service returns what is registered under id.
func (f *fake) service(id string) api.AgentServiceRegistration {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.services[id]
	if s == nil {
		f.t.Fatalf("%q is not registered", id)
	}
	return s.AgentServiceRegistration
}

// put places a passing instance that nobody's backend looks after.
func (f *fake) put(service, id, addr string) {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.services[id] = &fakeService{status: api.HealthPassing, AgentServiceRegistration: api.AgentServiceRegistration{
		ID: id, Name: service, Address: host, Port: n, Weights: &api.AgentWeights{Passing: 1, Warning: 1},
	}}
	f.moved()
}

// forget loses all services and begins its index anew, like a restart.
func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.services)
	f.moved()
	f.index = 2
}

// set replaces what is guarded by the lock.
func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// requests returns those of a kind, or all for "".
func (f *fake) requests(kind string) []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.log), func(r request) bool { return kind != "" && r.kind != kind })
}

// since counts the requests of a kind since a moment.
func (f *fake) since(kind string, from time.Time) int {
	n := 0
	for _, r := range f.requests(kind) {
		if !r.at.Before(from) {
			n++
		}
	}
	return n
}

// busiestSecond returns the most requests of a kind in any second from a
// moment on.
func (f *fake) busiestSecond(kind string, from time.Time) int {
	all := slices.DeleteFunc(f.requests(kind), func(r request) bool { return r.at.Before(from) })
	most := 0
	for i := range all {
		n := 0
		for _, r := range all[i:] {
			if r.at.Sub(all[i].at) < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// entry returns a health entry with one check of its own and one of its node.
func entry(id, addr string, port int, status string) *api.ServiceEntry {
	return &api.ServiceEntry{
		Node:    &api.Node{Node: "node1", Address: "127.0.0.1"},
		Service: &api.AgentService{ID: id, Service: "web", Address: addr, Port: port, Weights: api.AgentWeights{Passing: 1, Warning: 1}},
		Checks: api.HealthChecks{
			{CheckID: "serfHealth", Status: api.HealthPassing},
			{CheckID: "service:" + id, Status: status},
		},
	}
}

// answer writes a health answer with the headers of a leader.
func answer(w http.ResponseWriter, index uint64, entries []*api.ServiceEntry) {
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	w.Header().Set("X-Consul-LastContact", "0")
	w.Header().Set("X-Consul-KnownLeader", "true")
	_ = json.NewEncoder(w).Encode(entries)
}

// memory is a network of one listener.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	close func()

	mu    sync.Mutex
	down  bool
	dials int
	open  []net.Conn
}

func newMemory() *memory {
	m := &memory{conns: make(chan net.Conn), done: make(chan struct{})}
	m.close = sync.OnceFunc(func() { close(m.done) })
	return m
}

var errDown = errors.New("connection refused")

func (m *memory) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	m.mu.Lock()
	down := m.down
	m.dials++
	m.mu.Unlock()
	if down {
		return nil, errDown
	}
	client, server := net.Pipe()
	m.mu.Lock()
	m.open = append(m.open, server)
	m.mu.Unlock()
	select {
	case m.conns <- server:
		return client, nil
	case <-m.done:
		return nil, errDown
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// setDown cuts all connections and refuses new ones, or accepts again.
func (m *memory) setDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
	if down {
		for _, c := range m.open {
			c.Close()
		}
		m.open = nil
	}
}

func (m *memory) dialled() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dials
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.close(); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// watcher collects what a Watch yields.
type watcher struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	list   []discovery.Instance
	lists  int
	errors []error
}

// watch runs b.Watch until the test or cancel ends it.
func watch(t testing.TB, b discovery.Resolver, service string) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for list, err := range b.Watch(ctx, service) {
			w.mu.Lock()
			if err != nil {
				w.errors = append(w.errors, err)
			} else {
				w.list = list
				w.lists++
			}
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-w.done })
	return w
}

// stop ends the watch and waits for that, which must not take as long as the
// query under way.
func (w *watcher) stop(t testing.TB) {
	t.Helper()
	w.cancel()
	select {
	case <-w.done:
	case <-time.After(soon):
		t.Fatalf("the watch goes on %v after its end", soon)
	}
}

// addrs returns the addresses of the last list, joined.
func (w *watcher) addrs() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, in := range w.list {
		all = append(all, in.Addr)
	}
	return strings.Join(all, " ")
}

func (w *watcher) counts() (lists, errs int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lists, len(w.errors)
}

func (w *watcher) lastError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.errors) == 0 {
		return nil
	}
	return w.errors[len(w.errors)-1]
}
