package consul_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/internal/duration"
)

var web1 = discovery.Instance{ID: "web-1", Service: "web", Addr: "10.0.0.1:80"}

// gauge is a status that tests change.
type gauge struct {
	mu      sync.Mutex
	status  discovery.Status
	changed chan struct{}
}

func newGauge(s discovery.Status) *gauge { return &gauge{status: s, changed: make(chan struct{})} }

func (g *gauge) get() (discovery.Status, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.status, g.changed
}

func (g *gauge) set(s discovery.Status) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = s
	close(g.changed)
	g.changed = make(chan struct{})
}

func register(t testing.TB, b discovery.Registrar, in discovery.Instance, status discovery.StatusFunc) discovery.Registration {
	t.Helper()
	r, err := b.Register(context.Background(), in, status)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What goes to Consul: host and port apart, never a wildcard, and one check.
func TestPayload(t *testing.T) {
	full := discovery.Instance{
		ID: "web-1", Service: "web", Addr: "[::1]:8080", Zone: "z1", Version: "v2", Weight: 5,
		Tags: []string{"blue"}, Meta: map[string]string{"admin": "127.0.0.1:9001", "team": "shop"},
	}
	for name, tt := range map[string]struct {
		conf  consul.Config
		in    discovery.Instance
		check func(api.AgentServiceRegistration) bool
	}{
		"address": {in: full, check: func(s api.AgentServiceRegistration) bool { return s.Address == "::1" && s.Port == 8080 }},
		"fields": {in: full, check: func(s api.AgentServiceRegistration) bool {
			return s.ID == "web-1" && s.Name == "web" && slices.Equal(s.Tags, []string{"blue"}) &&
				s.Meta["zone"] == "z1" && s.Meta["version"] == "v2" && s.Meta["team"] == "shop" && s.Weights.Passing == 5
		}},
		"ttl": {in: web1, check: func(s api.AgentServiceRegistration) bool {
			return s.Check.TTL == "10s" && s.Check.CheckID == "service:web-1" && s.Check.HTTP == "" && s.Check.GRPC == "" &&
				s.Check.Status == "passing" && s.Check.DeregisterCriticalServiceAfter == "5m0s" && len(s.Checks) == 0
		}},
		"drained": {in: discovery.Instance{ID: "a", Service: "web", Addr: "a.test:80", Weight: -1}, check: func(s api.AgentServiceRegistration) bool {
			return s.Weights.Passing == 1 && s.Meta["gabion-weight"] == "-1"
		}},
		"http": {conf: consul.Config{Check: consul.CheckHTTP}, in: web1, check: func(s api.AgentServiceRegistration) bool {
			return s.Check.HTTP == "http://10.0.0.1:80/readyz" && s.Check.Interval == "5s" && s.Check.TTL == ""
		}},
		"http on the admin listener": {conf: consul.Config{Check: consul.CheckHTTP, CheckPath: "/up", CheckTLS: true}, in: full, check: func(s api.AgentServiceRegistration) bool {
			return s.Check.HTTP == "https://127.0.0.1:9001/up"
		}},
		"grpc": {conf: consul.Config{Check: consul.CheckGRPC, CheckPath: "web"}, in: web1, check: func(s api.AgentServiceRegistration) bool {
			return s.Check.GRPC == "10.0.0.1:80/web" && !s.Check.GRPCUseTLS && s.Check.TTL == ""
		}},
		"deregister after, raised": {conf: consul.Config{DeregisterAfter: duration.Duration(10 * time.Second)}, in: web1, check: func(s api.AgentServiceRegistration) bool {
			return s.Check.DeregisterCriticalServiceAfter == "1m0s"
		}},
		"deregister after, 3 TTL": {conf: consul.Config{DeregisterAfter: duration.Duration(2 * time.Minute), TTL: duration.Duration(time.Minute)}, in: web1, check: func(s api.AgentServiceRegistration) bool {
			return s.Check.DeregisterCriticalServiceAfter == "3m0s"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				register(t, f.open(tt.conf), tt.in, nil)
				synctest.Wait()
				if s := f.service(tt.in.ID); !tt.check(s) {
					t.Errorf("got %+v with check %+v", s, s.Check)
				}
			})
		})
	}
}

func TestDeregisterAfterWarns(t *testing.T) {
	for after, want := range map[time.Duration]int{0: 0, 10 * time.Second: 1, 2 * time.Minute: 0} {
		var log strings.Builder
		b, err := consul.New(consul.Config{DeregisterAfter: duration.Duration(after)}, consul.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if got := strings.Count(log.String(), "level=WARN"); got != want {
			t.Errorf("%v: %d warnings, want %d: %s", after, got, want, log.String())
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		b := f.open(consul.Config{})
		for name, change := range map[string]func(*discovery.Instance){
			"no ID":             func(in *discovery.Instance) { in.ID = "" },
			"slash":             func(in *discovery.Instance) { in.ID = "a/../b" },
			"dots":              func(in *discovery.Instance) { in.ID = ".." },
			"space":             func(in *discovery.Instance) { in.ID = "a b" },
			"control":           func(in *discovery.Instance) { in.ID = "a\nb" },
			"name":              func(in *discovery.Instance) { in.Service = "a/b" },
			"wildcard":          func(in *discovery.Instance) { in.Addr = "0.0.0.0:80" },
			"IPv6 wildcard":     func(in *discovery.Instance) { in.Addr = "[::]:80" },
			"no host":           func(in *discovery.Instance) { in.Addr = ":80" },
			"port 0":            func(in *discovery.Instance) { in.Addr = "10.0.0.1:0" },
			"metadata key":      func(in *discovery.Instance) { in.Meta = map[string]string{"a.b": "c"} },
			"reserved metadata": func(in *discovery.Instance) { in.Meta = map[string]string{"consul-x": "c"} },
			"long metadata":     func(in *discovery.Instance) { in.Version = strings.Repeat("v", 513) },
			"admin":             func(in *discovery.Instance) { in.Meta = map[string]string{"admin": "0.0.0.0:1"} },
		} {
			in := web1.Clone()
			change(&in)
			if _, err := b.Register(t.Context(), in, nil); err == nil {
				t.Errorf("%s: registered %+v, want an error", name, in)
			}
		}
		time.Sleep(time.Minute)
		if n := len(f.requests("")); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
		r := register(t, b, web1, nil)
		if _, err := b.Register(t.Context(), web1, nil); err == nil {
			t.Error("the same ID was registered twice")
		}
		synctest.Wait()
		if err := r.Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		register(t, b, web1, nil) // the ID is free again
		synctest.Wait()
		if f.status("web-1") != "passing" {
			t.Error("not registered again")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Register(ended, web1, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("register with an ended context: %v", err)
		}
	})
}

// The steady state is one register request and heartbeats in time.
func TestSteadyState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := register(t, f.open(consul.Config{}), web1, nil)
		began := time.Now()
		for time.Since(began) < time.Minute {
			time.Sleep(100 * time.Millisecond)
			if s := f.status("web-1"); s != "passing" {
				t.Fatalf("%v after the start the status is %q", time.Since(began), s)
			}
		}
		if n := len(f.requests("register")); n != 1 {
			t.Errorf("%d register requests, want 1", n)
		}
		beats := f.requests("update")
		if n := len(beats); n < 6 || n > 40 {
			t.Errorf("%d heartbeats in a minute, want 6 to 40", n)
		}
		for i := 1; i < len(beats); i++ {
			if gap := beats[i].at.Sub(beats[i-1].at); gap > 20*time.Second/3 {
				t.Errorf("%v between two heartbeats", gap)
			}
		}
		if err := r.Err(); err != nil {
			t.Errorf("error %v while registered", err)
		}
		if n := len(f.requests("other")); n != 0 {
			t.Errorf("%d requests to other endpoints: %v", n, f.requests("other"))
		}
	})
}

// A service that is not ready is never passing, and is so at once when it is.
func TestStatusFollows(t *testing.T) {
	for _, check := range []consul.Check{consul.CheckTTL, consul.CheckHTTP, consul.CheckGRPC} {
		t.Run(string(check), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				g := newGauge(discovery.Critical)
				register(t, f.open(consul.Config{Check: check}), web1, g.get)
				for range 300 {
					time.Sleep(100 * time.Millisecond)
					if s := f.status("web-1"); s != "critical" {
						t.Fatalf("status %q before the service is ready", s)
					}
				}
				for _, s := range []discovery.Status{discovery.Passing, discovery.Warning, discovery.Critical, discovery.Passing} {
					g.set(s)
					synctest.Wait()
					time.Sleep(time.Millisecond)
					if got := f.status("web-1"); got != s.String() {
						t.Errorf("status %q, want %v at once", got, s)
					}
				}
				from := time.Now()
				for range 1000 { // a status that flaps
					g.set(discovery.Critical)
					synctest.Wait()
					g.set(discovery.Passing)
					time.Sleep(10 * time.Millisecond)
				}
				if n := f.since("update", from) + f.since("register", from); n > 70 {
					t.Errorf("%d reports in 10 s of flapping, want about 50", n)
				}
				time.Sleep(5 * time.Second)
				if got := f.status("web-1"); got != "passing" {
					t.Errorf("status %q at the end, want passing", got)
				}
			})
		})
	}
}

// A channel that is always closed must not spin.
func TestStatusChannelAlwaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		closed := make(chan struct{})
		close(closed)
		calls := 0
		register(t, f.open(consul.Config{}), web1, func() (discovery.Status, <-chan struct{}) {
			calls++
			return discovery.Passing, closed
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if calls > 80 {
			t.Errorf("the status was asked for %d times in 10 s", calls)
		}
		if s := f.status("web-1"); s != "passing" {
			t.Errorf("status %q", s)
		}
	})
}

// The agent forgets the instance: it is there again with the next look.
func TestForgotten(t *testing.T) {
	for check, within := range map[consul.Check]time.Duration{
		consul.CheckTTL: 4 * time.Second, consul.CheckHTTP: 6 * time.Second, consul.CheckGRPC: 6 * time.Second,
	} {
		t.Run(string(check), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				g := newGauge(discovery.Warning)
				register(t, f.open(consul.Config{Check: check}), web1, g.get)
				time.Sleep(time.Minute)
				f.forget()
				time.Sleep(within)
				if s := f.status("web-1"); s != "warning" {
					t.Errorf("status %q %v after the agent forgot, want warning", s, within)
				}
				if n := len(f.requests("register")); n != 2 {
					t.Errorf("%d register requests, want 2", n)
				}
			})
		})
	}
}

// Older versions of Consul say with 500 that they do not know a check.
func TestForgottenOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		register(t, f.open(consul.Config{}), web1, nil)
		synctest.Wait()
		f.set(func(f *fake) {
			f.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/check/update/") {
					return false
				}
				f.set(func(f *fake) { f.refuse = nil })
				http.Error(w, `CheckID "service:web-1" does not have associated TTL`, http.StatusInternalServerError)
				return true
			}
		})
		time.Sleep(4 * time.Second)
		if n := len(f.requests("register")); n != 2 {
			t.Errorf("%d register requests, want 2", n)
		}
	})
}

// A heartbeat that fails is repeated and does not end the loop,
// asynkron/protoactor-dotnet#442.
func TestHeartbeatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		r := register(t, f.open(consul.Config{}), web1, nil)
		time.Sleep(time.Second)
		f.set(func(f *fake) {
			f.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
				http.Error(w, "rpc error making call", http.StatusInternalServerError)
				return true
			}
		})
		time.Sleep(4 * time.Second)
		if r.Err() == nil {
			t.Error("no error after a heartbeat that failed")
		}
		f.set(func(f *fake) { f.refuse = nil })
		time.Sleep(time.Minute)
		if r.Err() != nil || f.status("web-1") != "passing" {
			t.Errorf("later: error %v, status %q", r.Err(), f.status("web-1"))
		}
		if n := len(f.requests("register")); n != 1 {
			t.Errorf("%d register requests, want 1", n)
		}
	})
}

// One heartbeat is never answered: the TTL must not run out.
func TestHeartbeatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		register(t, f.open(consul.Config{}), web1, nil)
		time.Sleep(5 * time.Second)
		f.set(func(f *fake) {
			f.refuse = func(_ http.ResponseWriter, r *http.Request) bool {
				f.set(func(f *fake) { f.refuse = nil })
				<-r.Context().Done()
				return true
			}
		})
		for range 400 {
			time.Sleep(100 * time.Millisecond)
			if s := f.status("web-1"); s != "passing" {
				t.Fatalf("status %q after a heartbeat that hung", s)
			}
		}
		if n := len(f.requests("register")); n != 1 {
			t.Errorf("%d register requests, want 1", n)
		}
	})
}

// The end of one registration is nothing to another, go-kratos/kratos#3511.
func TestRegistrationsAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		b := f.open(consul.Config{TTL: duration.Duration(3 * time.Second)})
		x := register(t, b, discovery.Instance{ID: "x", Service: "x", Addr: "10.0.0.1:1"}, nil)
		register(t, b, discovery.Instance{ID: "y", Service: "y", Addr: "10.0.0.1:2"}, nil)
		time.Sleep(5 * time.Second)
		if err := x.Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if s := f.status("y"); s != "passing" {
				t.Fatalf("y is %q after the end of x", s)
			}
		}
		if s := f.status("x"); s != "" {
			t.Errorf("x is %q after its end", s)
		}
	})
}

// Consul is not there at first, and then again and again.
func TestAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.net.setDown(true)
		var log strings.Builder
		b := f.open(consul.Config{}, consul.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		r := register(t, b, web1, nil)
		time.Sleep(time.Hour)
		if err := r.Err(); !errors.Is(err, errDown) {
			t.Errorf("error %v while Consul is down, want %v", err, errDown)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings in an hour without Consul, want 1", n)
		}
		if n := f.net.dialled(); n > 2000 {
			t.Errorf("%d attempts in an hour", n)
		}
		for range 3 {
			f.net.setDown(false)
			time.Sleep(5 * time.Second)
			if s := f.status("web-1"); s != "passing" || r.Err() != nil {
				t.Errorf("5 s after Consul appeared: status %q, error %v", s, r.Err())
			}
			f.net.setDown(true)
			f.forget()
			time.Sleep(time.Minute)
		}
	})
}

// After the deregister request nothing more is sent, go-kratos/kratos#3147.
func TestNothingAfterDeregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.refuse = func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(rand.N(300 * time.Millisecond)) // and then act
			return false
		}
		var log strings.Builder
		b := f.open(consul.Config{TTL: duration.Duration(time.Second)}, consul.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		for i := range 50 {
			g := newGauge(discovery.Critical)
			r := register(t, b, web1, g.get)
			if i%2 == 0 { // while it registers, or later
				time.Sleep(rand.N(300 * time.Millisecond))
			} else {
				time.Sleep(rand.N(2 * time.Second))
			}
			g.set(discovery.Passing)
			if err := r.Deregister(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			all := f.requests("")
			if len(all) > 0 && all[len(all)-1].kind != "deregister" {
				t.Fatalf("the last request is %+v", all[len(all)-1])
			}
			if s := f.status("web-1"); s != "" {
				t.Fatalf("status %q after deregistration", s)
			}
			if err := r.Deregister(t.Context()); err != nil {
				t.Fatalf("second Deregister: %v", err)
			}
			if r.Err() == nil {
				t.Fatal("no error after deregistration")
			}
		}
		if strings.Contains(log.String(), "ERROR") {
			t.Errorf("errors in the log:\n%s", log.String())
		}
	})
}

// Deregister is bounded, whatever Consul does.
func TestDeregisterBounded(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	for name, tt := range map[string]struct {
		before, after func(*fake)
		ctx           time.Duration
		most          time.Duration
		fails         bool
	}{
		"hangs from the start": {before: func(f *fake) { f.refuse = hang }, ctx: time.Hour, most: 4 * time.Second},
		"hangs at the end":     {after: func(f *fake) { f.refuse = hang }, ctx: time.Hour, most: 4 * time.Second, fails: true},
		"hangs, short context": {after: func(f *fake) { f.refuse = hang }, ctx: time.Second, most: time.Second, fails: true},
		"down at the end":      {after: func(f *fake) { go f.net.setDown(true) }, ctx: time.Hour, most: 4 * time.Second, fails: true},
		"down from the start":  {before: func(f *fake) { go f.net.setDown(true) }, ctx: time.Hour, most: 4 * time.Second},
		"refuses once": {after: func(f *fake) {
			f.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
				f.set(func(f *fake) { f.refuse = nil })
				http.Error(w, "busy", http.StatusInternalServerError)
				return true
			}
		}, ctx: time.Hour, most: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				if tt.before != nil {
					f.set(tt.before)
					synctest.Wait()
				}
				r := register(t, f.open(consul.Config{}), web1, nil)
				time.Sleep(3500 * time.Millisecond)
				if tt.after != nil {
					f.set(tt.after)
					synctest.Wait()
				}
				ctx, cancel := context.WithTimeout(t.Context(), tt.ctx)
				defer cancel()
				began := time.Now()
				err := r.Deregister(ctx)
				if took := time.Since(began); took > tt.most {
					t.Errorf("took %v, want %v at most", took, tt.most)
				}
				if (err != nil) != tt.fails {
					t.Errorf("error %v, want one: %v", err, tt.fails)
				}
				f.set(func(f *fake) { f.refuse = nil })
				f.net.setDown(false)
				time.Sleep(time.Millisecond)
				from := time.Now()
				time.Sleep(time.Minute)
				if n := f.since("", from); n != 0 {
					t.Errorf("%d requests after Deregister", n)
				}
			})
		})
	}
}

func TestCloseEndsRegistrations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		b := f.open(consul.Config{})
		r := register(t, b, web1, nil)
		synctest.Wait()
		b.Close()
		time.Sleep(time.Millisecond)
		from := time.Now()
		time.Sleep(time.Minute)
		if n := f.since("", from); n != 0 {
			t.Errorf("%d requests after Close", n)
		}
		if r.Err() == nil {
			t.Error("no error after Close")
		}
		if err := r.Deregister(t.Context()); !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("deregister after Close: %v, want ErrClosed", err)
		}
		if _, err := b.Register(t.Context(), web1, nil); !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("register after Close: %v, want ErrClosed", err)
		}
	})
}

// The token file is replaced after the old token stopped to be valid.
func TestTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file+".new", []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("t0ken-old")
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		valid := "t0ken-old"
		f.refuse = func(w http.ResponseWriter, r *http.Request) bool {
			var bad bool
			f.set(func(*fake) { bad = r.Header.Get("X-Consul-Token") != valid })
			if bad {
				http.Error(w, "ACL not found", http.StatusForbidden)
			}
			return bad
		}
		var log lockedLog
		b := f.open(consul.Config{TokenFile: file, TTL: duration.Duration(time.Minute)},
			consul.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		r := register(t, b, web1, nil)
		w := watch(t, b, "web")
		time.Sleep(time.Second)
		f.set(func(f *fake) { valid = "t0ken-new" })
		f.net.setDown(true) // the query under way ends
		f.net.setDown(false)
		time.Sleep(30 * time.Second)
		if n := f.busiestSecond("health", time.Now().Add(-20*time.Second)); n > 2 {
			t.Errorf("%d reads in a second without a valid token", n)
		}
		if !errors.Is(w.lastError(), consul.ErrDenied) || !errors.Is(r.Err(), consul.ErrDenied) {
			t.Errorf("errors %v and %v, want ErrDenied", w.lastError(), r.Err())
		}
		for _, half := range []string{"", "missing"} { // while it is being replaced
			if half == "" {
				write("")
			} else if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		write("t0ken-new")
		from := time.Now()
		time.Sleep(5 * time.Second)
		if n := len(f.requests("register")); n < 2 {
			t.Errorf("%d register requests: the agent keeps the old token", n)
		}
		if r.Err() != nil || w.addrs() != web1.Addr {
			t.Errorf("5 s after the change: error %v, list %q", r.Err(), w.addrs())
		}
		if f.since("health", from) == 0 {
			t.Error("no read with the new token")
		}
		if err := r.Deregister(t.Context()); err != nil {
			t.Error(err)
		}
		for _, text := range []string{log.String(), w.lastError().Error()} {
			if strings.Contains(text, "t0ken") {
				t.Errorf("a token stands in\n%s", text)
			}
		}
	})
}

// lockedLog is a strings.Builder for several writers.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
