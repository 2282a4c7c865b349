package consul_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/discovery/discoverytest"
	"github.com/gabion-go/gabion/internal/consultest"
	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/leaktest"
)

// Tests in this file talk to a real Consul. -short leaves them out. Those that
// spend their time waiting run side by side, after all others.

func TestMain(m *testing.M) { consultest.Main(m) }

func TestConformance(t *testing.T) {
	s := consultest.Start(t)
	discoverytest.Run(t, func(t *testing.T) discoverytest.Harness {
		return discoverytest.Harness{
			Backend: openReal(t, s, consul.Config{TTL: duration.Duration(3 * time.Second)}),
			Reader:  openReal(t, s, consul.Config{}),
		}
	})
}

func openReal(t *testing.T, s *consultest.Server, conf consul.Config) *consul.Backend {
	t.Helper()
	conf.Address = s.Addr()
	b, err := consul.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// soon is the limit for what comes with the next attempt at something, which is
// up to maxBackoff, 4 s, away, and then takes as long as a busy machine needs.
const soon = 20 * time.Second

// eventually waits for what must come true within limit.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			t.Fatalf("%s: still not after %v", what, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// passing returns how many instances Consul lists with passing=1.
func passing(t *testing.T, s *consultest.Server, service string) int {
	t.Helper()
	entries, _, err := s.API().Health().Service(service, "", true, nil)
	if err != nil {
		return 0
	}
	return len(entries)
}

// An instance is listed as soon as it is ready, hashicorp/consul#868, and not
// before.
func TestRealReadiness(t *testing.T) {
	leaktest.Check(t)
	s := consultest.Start(t)
	target := healthServer(t)
	for _, check := range []consul.Check{consul.CheckTTL, consul.CheckHTTP} {
		t.Run(string(check), func(t *testing.T) {
			// A status is reported so rarely that what Consul knows soon it was
			// told at once.
			b := openReal(t, s, consul.Config{TTL: duration.Duration(time.Hour), Interval: duration.Duration(time.Second), Check: check})
			g := newGauge(discovery.Critical)
			target.ready.Store(false)
			in := discovery.Instance{ID: "web-" + string(check), Service: "web-" + string(check), Addr: target.addr}
			r := register(t, b, in, g.get)
			for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if passing(t, s, in.Service) != 0 {
					t.Fatal("listed as passing before it is ready")
				}
			}
			target.ready.Store(true)
			g.set(discovery.Passing)
			took := eventually(t, soon, "passing", func() bool { return passing(t, s, in.Service) == 1 })
			t.Logf("passing %v after it was ready", took)
			if err := r.Deregister(t.Context()); err != nil {
				t.Error(err)
			}
			eventually(t, soon, "gone", func() bool { return passing(t, s, in.Service) == 0 })
		})
	}
}

// With an HTTP check Consul's own look counts.
func TestRealChecks(t *testing.T) {
	t.Parallel()
	s := consultest.Start(t)
	target := healthServer(t)
	target.ready.Store(true)
	b := openReal(t, s, consul.Config{Interval: duration.Duration(time.Second), Check: consul.CheckHTTP})
	register(t, b, discovery.Instance{ID: "web-1", Service: "web", Addr: target.addr}, nil)
	for _, ready := range []bool{true, false, true} {
		target.ready.Store(ready)
		eventually(t, soon, fmt.Sprintf("passing %v", ready), func() bool { return (passing(t, s, "web") == 1) == ready })
	}
}

// healthTarget is what Consul's HTTP check asks.
type healthTarget struct {
	addr  string
	ready atomic.Bool
}

func healthServer(t *testing.T) *healthTarget {
	t.Helper()
	h := &healthTarget{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.ready.Load() || r.URL.Path != consul.DefaultCheckPath {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return h
}

// One process, two services: the end of one is nothing to the other.
func TestRealIndependence(t *testing.T) {
	t.Parallel()
	s := consultest.Start(t)
	b := openReal(t, s, consul.Config{TTL: duration.Duration(3 * time.Second)})
	x := register(t, b, discovery.Instance{ID: "x", Service: "x", Addr: "127.0.0.1:1"}, nil)
	register(t, b, discovery.Instance{ID: "y", Service: "y", Addr: "127.0.0.1:2"}, nil)
	eventually(t, soon, "both", func() bool { return passing(t, s, "x")+passing(t, s, "y") == 2 })
	if err := x.Deregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if passing(t, s, "y") != 1 {
			t.Fatal("y left when x ended")
		}
	}
}

// Consul is absent at first, then restarts empty: the instance is registered
// each time, in each check mode, and who watches never loses it.
func TestRealRestart(t *testing.T) {
	t.Parallel()
	s := consultest.New(t)
	target := healthServer(t)
	target.ready.Store(true)
	reader := openReal(t, s, consul.Config{})
	var services []string
	var watchers []*watcher
	for _, check := range []consul.Check{consul.CheckTTL, consul.CheckHTTP} {
		name := "web-" + string(check)
		b := openReal(t, s, consul.Config{Check: check})
		r := register(t, b, discovery.Instance{ID: name, Service: name, Addr: target.addr}, nil)
		eventually(t, soon, "an error without Consul", func() bool { return r.Err() != nil })
		services = append(services, name)
		watchers = append(watchers, watch(t, reader, name))
	}
	for _, what := range []string{"appears", "restarts empty"} {
		s.Restart()
		for i, name := range services {
			took := eventually(t, 15*time.Second, name, func() bool { return passing(t, s, name) == 1 })
			t.Logf("Consul %s: %s is back %v after it was up", what, name, took)
			eventually(t, 15*time.Second, name+" watched", func() bool { return watchers[i].addrs() == target.addr })
		}
	}
	// The restart must not have shown as an empty list.
	for i, w := range watchers {
		if lists, errs := w.counts(); lists > 3 || errs == 0 {
			t.Errorf("%s: %d lists and %d errors", services[i], lists, errs)
		}
	}
	// A watch that went through all this still hears of changes at once.
	if err := s.API().Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "new", Name: services[0], Address: "127.0.0.1", Port: 9}); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, "change after the restart", func() bool { return strings.Contains(watchers[0].addrs(), "127.0.0.1:9") })
}

// The agent removed the instance, as it does with what was critical for too
// long because its process was stopped.
func TestRealReaped(t *testing.T) {
	t.Parallel()
	s := consultest.Start(t)
	for _, check := range []consul.Check{consul.CheckTTL, consul.CheckGRPC} {
		name := "web-" + string(check)
		b := openReal(t, s, consul.Config{Check: check, TTL: duration.Duration(3 * time.Second), Interval: duration.Duration(time.Second)})
		register(t, b, discovery.Instance{ID: name, Service: name, Addr: "127.0.0.1:1"}, nil)
		registered := func() bool {
			services, err := s.API().Agent().Services()
			return err == nil && services[name] != nil
		}
		eventually(t, soon, name, registered)
		if err := s.API().Agent().ServiceDeregister(name); err != nil {
			t.Fatal(err)
		}
		eventually(t, soon, name+" again", registered)
	}
}

// Consul hangs while an instance leaves.
func TestRealHangs(t *testing.T) {
	t.Parallel()
	s := consultest.Start(t)
	b := openReal(t, s, consul.Config{TTL: duration.Duration(2 * time.Second)})
	r := register(t, b, web1, nil)
	w := watch(t, b, "web")
	eventually(t, soon, "registered", func() bool { return w.addrs() == web1.Addr })
	s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	// How long both take is measured where time is exact: TestDeregisterBounded
	// and TestWatchEnds.
	if err := r.Deregister(ctx); err == nil {
		t.Error("deregistered with a Consul that hangs")
	}
	w.stop(t)
	s.Cont()
	eventually(t, 10*time.Second, "critical", func() bool { return passing(t, s, "web") == 0 })
}

// The token is replaced: the old one is deleted, then the file changes.
func TestRealTokenReplaced(t *testing.T) {
	t.Parallel()
	s := consultest.Start(t, consultest.WithACL("0b5fd2a1-6f1c-4d6e-9a53-1f6f3c1b7d11"))
	file := filepath.Join(t.TempDir(), "token")
	old := newToken(t, s, "old")
	writeFile(t, file, old.SecretID)
	b := openReal(t, s, consul.Config{TokenFile: file, TTL: duration.Duration(3 * time.Second)})
	r := register(t, b, web1, nil)
	w := watch(t, b, "web")
	eventually(t, soon, "registered", func() bool { return w.addrs() == web1.Addr })

	if _, err := s.API().ACL().TokenDelete(old.AccessorID, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "refusal", func() bool { return r.Err() != nil })
	if err := r.Err(); strings.Contains(err.Error(), old.SecretID) {
		t.Errorf("the token stands in the error %v", err)
	}
	time.Sleep(3 * time.Second)
	if got := w.addrs(); got != web1.Addr {
		t.Errorf("without a valid token the list is %q, want the last to stand", got)
	}
	writeFile(t, file, newToken(t, s, "new").SecretID)
	took := eventually(t, soon, "the new token", func() bool { return r.Err() == nil && passing(t, s, "web") == 1 })
	t.Logf("new token in use after %v", took)
	// The watch uses it too.
	if err := s.API().Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "web-2", Name: "web", Address: "127.0.0.1", Port: 9}); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, "a change seen with the new token", func() bool { return strings.Contains(w.addrs(), "127.0.0.1:9") })
	if err := r.Deregister(t.Context()); err != nil {
		t.Error(err)
	}
}

// A token that may read the service but not its nodes gets an empty answer.
func TestRealFiltered(t *testing.T) {
	t.Parallel()
	s := consultest.Start(t, consultest.WithACL("0b5fd2a1-6f1c-4d6e-9a53-1f6f3c1b7d11"))
	if err := s.API().Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "web-1", Name: "web", Address: "127.0.0.1", Port: 9}); err != nil {
		t.Fatal(err)
	}
	token := makeToken(t, s, "no nodes", `service "web" { policy = "read" }`)
	w := watch(t, openReal(t, s, consul.Config{Token: token.SecretID}), "web")
	eventually(t, soon, "an error", func() bool { _, errs := w.counts(); return errs > 0 })
	if lists, _ := w.counts(); lists != 0 {
		t.Errorf("%d lists, want none", lists)
	}
}

// A token loses its permission, or the token itself is deleted, while a query
// blocks: Consul answers with no instances, which must not be believed.
func TestRealPermissionLost(t *testing.T) {
	t.Parallel()
	s := consultest.Start(t, consultest.WithACL("0b5fd2a1-6f1c-4d6e-9a53-1f6f3c1b7d11"))
	if err := s.API().Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "web-1", Name: "web", Address: "127.0.0.1", Port: 9}); err != nil {
		t.Fatal(err)
	}
	for name, lose := range map[string]func(*api.ACLToken) error{
		"policy": func(token *api.ACLToken) error {
			_, _, err := s.API().ACL().PolicyUpdate(&api.ACLPolicy{ID: token.Policies[0].ID, Name: token.Policies[0].Name, Rules: ""}, nil)
			return err
		},
		"token": func(token *api.ACLToken) error {
			_, err := s.API().ACL().TokenDelete(token.AccessorID, nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			token := newToken(t, s, name)
			w := watch(t, openReal(t, s, consul.Config{Token: token.SecretID, Wait: duration.Duration(2 * time.Second)}), "web")
			eventually(t, soon, "a list", func() bool { return w.addrs() == "127.0.0.1:9" })
			time.Sleep(time.Second) // so that a query blocks
			if err := lose(token); err != nil {
				t.Fatal(err)
			}
			eventually(t, 10*time.Second, "an error", func() bool { _, errs := w.counts(); return errs > 1 })
			if lists, _ := w.counts(); lists != 1 {
				t.Errorf("%d lists, want the first to stand", lists)
			}
			if err := w.lastError(); !errors.Is(err, consul.ErrDenied) {
				t.Errorf("got error %v, want ErrDenied", err)
			}
		})
	}
}

// Node health counts: maintenance of the node empties the list.
func TestRealNodeHealth(t *testing.T) {
	t.Parallel()
	s := consultest.Start(t)
	b := openReal(t, s, consul.Config{})
	register(t, b, web1, nil)
	w := watch(t, b, "web")
	eventually(t, soon, "registered", func() bool { return w.addrs() == web1.Addr })
	if err := s.API().Agent().EnableNodeMaintenance("test"); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, "in maintenance", func() bool { return w.addrs() == "" })
	if err := s.API().Agent().DisableNodeMaintenance(); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, "out of maintenance", func() bool { return w.addrs() == web1.Addr })
}

func newToken(t *testing.T, s *consultest.Server, name string) *api.ACLToken {
	t.Helper()
	return makeToken(t, s, name, `service "web" { policy = "write" } node_prefix "" { policy = "read" }`)
}

func makeToken(t *testing.T, s *consultest.Server, name, rules string) *api.ACLToken {
	t.Helper()
	name = strings.ReplaceAll(name, " ", "-")
	policy, _, err := s.API().ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := s.API().ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
