package gabion_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/health"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
)

// environment is a getenv that knows only what it is given, and keeps gossip
// of one test apart from everybody else's.
func environment(t *testing.T, pairs ...string) func(string) string {
	t.Helper()
	env := map[string]string{
		"GABION_DISCOVERY":   "gossip://?label=" + label(t),
		"GABION_DRAIN_DELAY": "10ms",
		"GABION_LOG":         "error",
	}
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return func(key string) string { return env[key] }
}

func label(t *testing.T) string {
	return fmt.Sprintf("%s-%d", strings.NewReplacer("/", "-", "_", "-", " ", "-").Replace(t.Name()), os.Getpid())
}

// running is a service that a test has started.
type running struct {
	*gabion.Service
	stop func() error // ends the service and returns what Run did; may be called again
}

// run starts a service and waits until it is ready.
func run(t *testing.T, name string, setup func(*gabion.Service), opts ...gabion.Option) running {
	t.Helper()
	ready := make(chan struct{})
	svc, err := gabion.New(name, append(opts, gabion.WithOnReady(func(*gabion.Service) { close(ready) }))...)
	if err != nil {
		t.Fatal(err)
	}
	if setup != nil {
		setup(svc)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("%s ended with %v", name, err)
		}
	})
	select {
	case <-ready:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s is not ready after 20 s", name)
	}
	return running{svc, stop}
}

// eventually polls until ok says so.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func fetch(t *testing.T, c *http.Client, url string) (int, http.Header, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(b), errors.Join(err, resp.Body.Close())
}

// plain is a client that knows nothing of gabion and keeps no connection.
func plain() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
}

// Two services that know nothing but each other's names: no server, no
// configuration.
func TestTwoServicesFindEachOther(t *testing.T) {
	leaktest.Check(t)
	env := gabion.WithGetenv(environment(t))
	var traceparent string
	run(t, "pricing", func(s *gabion.Service) {
		s.HandleFunc("GET /v1/quote/{id}", func(w http.ResponseWriter, r *http.Request) {
			traceparent = r.Header.Get("Traceparent")
			fmt.Fprintf(w, "quote %s", r.PathValue("id"))
		})
	}, env)
	shop := run(t, "shop", func(s *gabion.Service) {
		client := s.Client("pricing")
		s.HandleFunc("GET /offer/{id}", func(w http.ResponseWriter, r *http.Request) {
			status, _, body, err := fetch(t, client, "http://pricing/v1/quote/"+r.PathValue("id"))
			if err != nil {
				transport.WriteProblem(w, r, transport.Problem{Status: 503, Detail: err.Error()})
				return
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}, env)
	eventually(t, "a call through gossip", func() error {
		status, _, body, err := fetch(t, plain(), "http://"+shop.Addr()+"/offer/7")
		if err != nil || status != 200 || body != "quote 7" {
			return fmt.Errorf("got %d %q %w", status, body, err)
		}
		return nil
	})
	if len(traceparent) != 55 {
		t.Errorf("the call carried the traceparent %q", traceparent)
	}
	_, _, metrics, err := fetch(t, plain(), "http://"+shop.AdminAddr()+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`gabion_client_attempts_total{kind="first",outcome="success",service="pricing"}`,
		`gabion_breaker_state{service="pricing"} 0`,
		`gabion_balancer_endpoints{service="pricing",state="available"} 1`,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="GET /offer/{id}"`,
		`http_client_request_duration_seconds_count{`,
		`gabion_discovery_staleness_seconds{backend="gossip",service="pricing"} 0`,
		`gabion_limit_max{service="pricing",side="client"} 1024`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	status, _, debug, err := fetch(t, plain(), "http://"+shop.AdminAddr()+"/debug/gabion")
	var state struct {
		Instance struct {
			Service string
			Meta    map[string]string
		}
		Registration string
		Clients      []struct {
			Service, Breaker string
			Pick             struct{ Policy, Chosen, Reason string }
			Endpoints        []struct{ ID, Addr, State string }
		}
	}
	if err := errors.Join(err, json.Unmarshal([]byte(debug), &state)); err != nil || status != 200 {
		t.Fatalf("/debug/gabion: %d %v\n%s", status, err, debug)
	}
	if state.Instance.Service != "shop" || state.Instance.Meta["admin"] != shop.AdminAddr() || state.Registration != "registered" ||
		len(state.Clients) != 1 || state.Clients[0].Breaker != "closed" || len(state.Clients[0].Endpoints) != 1 || state.Clients[0].Endpoints[0].State != "available" {
		t.Errorf("/debug/gabion says %s", debug)
	} else if c := state.Clients[0]; c.Pick.Policy != balance.PeakEWMA || c.Pick.Chosen != c.Endpoints[0].ID || c.Pick.Reason != "policy" {
		t.Errorf("/debug/gabion explains a pick as %+v", c.Pick)
	}
}

func TestAdminAndPublicListeners(t *testing.T) {
	leaktest.Check(t)
	hold := make(chan struct{})
	svc, err := gabion.New("shop", gabion.WithGetenv(environment(t)),
		gabion.WithStartup("migrate", func(ctx context.Context) error {
			select {
			case <-hold:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	svc.HandleFunc("POST /orders", func(http.ResponseWriter, *http.Request) {})
	svc.HandleAdmin("GET /extra", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx) }()
	eventually(t, "listening", func() error {
		if svc.AdminAddr() == "" {
			return errors.New("not yet")
		}
		return nil
	})
	status := func(addr, path string) int {
		t.Helper()
		got, _, _, err := fetch(t, plain(), "http://"+addr+path)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if l, r, s := status(svc.AdminAddr(), "/livez"), status(svc.AdminAddr(), "/readyz"), status(svc.AdminAddr(), "/startupz"); l != 200 || r != 503 || s != 503 {
		t.Errorf("while starting livez, readyz, startupz are %d %d %d, want 200 503 503", l, r, s)
	}
	close(hold)
	eventually(t, "ready", func() error {
		if got := status(svc.AdminAddr(), "/readyz"); got != 200 {
			return fmt.Errorf("readyz is %d", got)
		}
		return nil
	})
	for _, path := range []string{"/", "/startupz", "/metrics", "/debug/gabion", "/debug/pprof/", "/loglevel"} {
		if got := status(svc.AdminAddr(), path); got != 200 {
			t.Errorf("admin %s: got %d", path, got)
		}
		if got := status(svc.Addr(), path); got != 404 {
			t.Errorf("public %s: got %d, want 404", path, got)
		}
	}
	if got := status(svc.AdminAddr(), "/extra"); got != 204 {
		t.Errorf("admin /extra: got %d", got)
	}
	got, header, body, err := fetch(t, plain(), "http://"+svc.Addr()+"/orders")
	if err != nil || got != 405 || header.Get("Allow") != "POST" || header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("wrong method: got %d %v %s %v, want a 405 problem that names POST", got, header, body, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestPublicHealth(t *testing.T) {
	leaktest.Check(t)
	svc := run(t, "shop", nil, gabion.WithGetenv(environment(t)), gabion.WithPublicHealth(true))
	remove, err := svc.Health().Add("database", func(context.Context) error { return errors.New("db-17.internal is away") }, health.WithDegradeOnly(true))
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	for path, want := range map[string]int{"/livez": 200, "/readyz?verbose": 200, "/startupz": 404, "/metrics": 404} {
		got, _, body, err := fetch(t, plain(), "http://"+svc.Addr()+path)
		if got != want || err != nil {
			t.Errorf("%s: got %d %v, want %d", path, got, err, want)
		}
		if strings.Contains(body, "db-17") {
			t.Errorf("%s tells strangers %s", path, body)
		}
	}
}

func TestDrainLosesNoRequest(t *testing.T) {
	leaktest.Check(t)
	started := make(chan struct{})
	svc := run(t, "slow", func(s *gabion.Service) {
		s.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			close(started)
			time.Sleep(300 * time.Millisecond) // work in real time: sockets are real here
			fmt.Fprint(w, "done")
		})
	}, gabion.WithGetenv(environment(t)))
	type result struct {
		body string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		_, _, body, err := fetch(t, plain(), "http://"+svc.Addr()+"/")
		got <- result{body, err}
	}()
	<-started
	if err := svc.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if r := <-got; r.err != nil || r.body != "done" {
		t.Errorf("the request in flight got %q, %v", r.body, r.err)
	}
	if conn, err := net.Dial("tcp", svc.Addr()); err == nil {
		_ = conn.Close()
		t.Error("the listener is open after Run has returned")
	}
}

func TestBackgroundWork(t *testing.T) {
	leaktest.Check(t)
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		work func(context.Context) error
		want string
	}{
		"ends with the service": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, ""},
		"ends by itself":        {func(context.Context) error { return nil }, ""},
		"fails":                 {func(context.Context) error { return boom }, `gabion: indexer: boom`},
		"panics":                {func(context.Context) error { panic("oh") }, `gabion: indexer: panic: oh`},
	} {
		t.Run(name, func(t *testing.T) {
			svc, err := gabion.New("shop", gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "static:other=127.0.0.1:1")))
			if err != nil {
				t.Fatal(err)
			}
			var order []string
			svc.OnStop("first", func(context.Context) error { order = append(order, "first"); return nil })
			svc.OnStop("second", func(context.Context) error { order = append(order, "second"); return nil })
			svc.Go("indexer", tc.work)
			ctx, cancel := context.WithCancel(t.Context())
			if tc.want == "" {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			defer cancel()
			err = svc.Run(ctx)
			if (tc.want == "") != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("Run returned %v, want %q", err, tc.want)
			}
			if fmt.Sprint(order) != "[second first]" {
				t.Errorf("stopped in the order %v", order)
			}
			if err := svc.Run(ctx); !errors.Is(err, gabion.ErrStarted) {
				t.Errorf("a second Run returned %v", err)
			}
			if err := svc.Close(); err != nil {
				t.Errorf("Close after Run: %v", err)
			}
			svc.Go("late", func(context.Context) error {
				t.Error("work that came after the end was run")
				return nil
			})
		})
	}
}

func TestFailedStarts(t *testing.T) {
	leaktest.Check(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for name, tc := range map[string]struct {
		env  []string
		opts []gabion.Option
		want string
	}{
		"port in use": {env: []string{"GABION_ADDR", taken.Addr().String()}, want: "GABION_ADDR"},
		"admin port":  {env: []string{"GABION_ADMIN_ADDR", taken.Addr().String()}, want: "GABION_ADMIN_ADDR"},
		"startup step": {opts: []gabion.Option{gabion.WithStartup("migrate", func(context.Context) error { return errors.New("table is locked") })},
			want: `startup step "migrate": table is locked`},
	} {
		t.Run(name, func(t *testing.T) {
			svc, err := gabion.New("shop", append(tc.opts, gabion.WithGetenv(environment(t, tc.env...)))...)
			if err != nil {
				t.Fatal(err)
			}
			if err := svc.Run(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Run returned %v, want %q", err, tc.want)
			}
		})
	}
}

func TestBadSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		service string
		env     []string
		want    []string
	}{
		"name":      {service: "my_service", want: []string{"my_service"}},
		"all":       {service: "shop", env: []string{"GABION_ADDR", "8080", "GABION_DRAIN_DELAY", "2", "GABION_ADVERTISE", "0.0.0.0:80"}, want: []string{"GABION_ADDR", "GABION_DRAIN_DELAY", "GABION_ADVERTISE"}},
		"discovery": {service: "shop", env: []string{"GABION_DISCOVERY", "zookeeper://x"}, want: []string{"GABION_DISCOVERY", "zookeeper", "consul"}},
		"log level": {service: "shop", env: []string{"GABION_LOG", "loud"}, want: []string{"GABION_LOG", "loud"}},
		"static":    {service: "shop", env: []string{"GABION_DISCOVERY", "static:pricing=nowhere"}, want: []string{"open static", "nowhere", "host:port"}},
	} {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			svc, err := gabion.New(tc.service, gabion.WithGetenv(environment(t, tc.env...)))
			if err == nil {
				t.Fatal("got no error", svc.Close())
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, which does not name %s", err, want)
				}
			}
		})
	}
}

// A registry that is down when the service starts is a warning, not the end.
func TestRegistryDownAtStart(t *testing.T) {
	leaktest.Check(t)
	var out lines
	logger := slog.New(slog.NewTextHandler(&out, nil))
	svc := run(t, "shop", func(s *gabion.Service) {
		s.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	}, gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "consul://127.0.0.1:1")), gabion.WithLogger(logger))
	if status, _, _, err := fetch(t, plain(), "http://"+svc.Addr()+"/"); status != 200 {
		t.Errorf("got %d %v, want it to serve", status, err)
	}
	eventually(t, "a warning", func() error {
		if !strings.Contains(out.String(), "level=WARN") {
			return errors.New("no warning in " + out.String())
		}
		return nil
	})
	eventually(t, "the state shows", func() error {
		_, _, body, err := fetch(t, plain(), "http://"+svc.AdminAddr()+"/debug/gabion")
		if err != nil || strings.Contains(body, `"registration": "registered"`) {
			return fmt.Errorf("%s %w", body, err)
		}
		return nil
	})
	if status, _, _, err := fetch(t, plain(), "http://"+svc.AdminAddr()+"/readyz"); status != 200 {
		t.Errorf("readyz is %d %v: a registry outside must not decide on readiness", status, err)
	}
}

// Whoever asks for OTLP by its variables is told that nothing was built in.
func TestMissingExporterIsSaid(t *testing.T) {
	leaktest.Check(t)
	var out lines
	svc, err := gabion.New("shop", gabion.WithLogger(slog.New(slog.NewTextHandler(&out, nil))),
		gabion.WithGetenv(environment(t, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")))
	if err != nil {
		t.Fatal(err)
	}
	if err := svc.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "OTEL_EXPORTER_OTLP_ENDPOINT") || !strings.Contains(out.String(), "WithSpanExporter") {
		t.Errorf("the log says %q", out.String())
	}
}

// lines is a buffer that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Two applications in one process do not meet.
func TestTwoApplicationsInOneProcess(t *testing.T) {
	leaktest.Check(t)
	for _, app := range []string{"one", "two"} {
		svc := run(t, "shop", func(s *gabion.Service) {
			s.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, app) })
		}, gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "gossip://?label="+label(t)+"-"+app)))
		eventually(t, "itself", func() error {
			_, _, body, err := fetch(t, svc.Client("shop"), "http://shop/")
			if err != nil || body != app {
				return fmt.Errorf("got %q %w, want only %q", body, err, app)
			}
			return nil
		})
		n := 0
		for list, err := range svc.Resolver().Watch(t.Context(), "shop") {
			if err != nil {
				t.Fatal(err)
			}
			n = len(list)
			break
		}
		if n != 1 {
			t.Errorf("%s sees %d instances, want only its own", app, n)
		}
	}
}

func TestRegisteredInstance(t *testing.T) {
	leaktest.Check(t)
	svc := run(t, "shop", nil, gabion.WithZone("z1"), gabion.WithVersion("v7"), gabion.WithWeight(3), gabion.WithTags("blue"),
		gabion.WithMeta("store", "s-1"), gabion.WithGetenv(environment(t, "GABION_ADDR", "0.0.0.0:0", "GABION_ZONE", "z2")))
	var in discovery.Instance
	eventually(t, "registered", func() error {
		for list, err := range svc.Resolver().Watch(t.Context(), "shop") {
			if err != nil || len(list) != 1 {
				return fmt.Errorf("got %v %w", list, err)
			}
			in = list[0]
			break
		}
		return nil
	})
	if err := in.Validate(); err != nil {
		t.Errorf("listening on a wildcard it is registered as %q: %v", in.Addr, err)
	}
	if in.ID != svc.InstanceID() || in.Zone != "z2" || in.Version != "v7" || in.Weight != 3 || fmt.Sprint(in.Tags) != "[blue]" ||
		in.Meta["store"] != "s-1" || in.Meta["admin"] != svc.AdminAddr() {
		t.Errorf("registered as %+v", in)
	}
}
