package instrument_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/observe/traces"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/instrument"
)

// counter counts spans that start and end.
type counter struct{ started, ended atomic.Int64 }

func (c *counter) OnStart(context.Context, sdktrace.ReadWriteSpan) { c.started.Add(1) }
func (c *counter) OnEnd(sdktrace.ReadOnlySpan)                     { c.ended.Add(1) }
func (c *counter) Shutdown(context.Context) error                  { return nil }
func (c *counter) ForceFlush(context.Context) error                { return nil }

type bench struct {
	client   *http.Client
	registry *static.Backend
	addr     string
	reg      *prometheus.Registry
	spans    *tracetest.SpanRecorder
	counts   *counter
}

// start serves h as the service pricing, observed on both sides, in a synctest
// bubble: what ends on the server's side has ended after synctest.Wait.
func start(t *testing.T, h http.HandlerFunc, opts ...transport.ClientOption) bench {
	t.Helper()
	b := bench{reg: prometheus.NewRegistry(), spans: tracetest.NewSpanRecorder(), counts: &counter{}}
	m, err := metrics.New(b.reg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := traces.New("test", traces.WithSampler(sdktrace.AlwaysSample()),
		traces.WithSpanProcessor(b.spans), traces.WithSpanProcessor(b.counts))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/{id}", h)
	srv, err := transport.NewServer(mux, transport.WithServerObserver(instrument.Server("pricing", m, p)))
	if err != nil {
		t.Fatal(err)
	}
	var network memnet.Network
	l, err := network.Listen("pricing:1")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	registry, err := static.New(map[string][]discovery.Instance{"pricing": {{ID: "p1", Service: "pricing", Addr: l.Addr().String(), Version: "v1"}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := transport.NewClient(registry, append(opts, transport.WithDialer(network.Dial), transport.WithObserver(instrument.Client(m, p)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		c.CloseIdleConnections()
		_ = srv.Close()
		_ = registry.Close()
		_ = p.Shutdown(context.Background())
	})
	b.client, b.registry, b.addr = c.HTTPClient(), registry, l.Addr().String()
	return b
}

func (b bench) get(t *testing.T, ctx context.Context, path string) int { //nolint:revive // t comes first in tests
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://pricing"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// One call that needs two attempts: a span for the call, one for each attempt
// below it, and the server's below the attempt that it answers.
func TestSpansOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		b := start(t, func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		if got := b.get(t, t.Context(), "/v1/teapot?token=secret"); got != http.StatusOK {
			t.Fatalf("got %d", got)
		}
		synctest.Wait()
		byKind := map[trace.SpanKind][]sdktrace.ReadOnlySpan{}
		parent := map[trace.SpanID]trace.SpanID{}
		for _, s := range b.spans.Ended() {
			byKind[s.SpanKind()] = append(byKind[s.SpanKind()], s)
			parent[s.SpanContext().SpanID()] = s.Parent().SpanID()
			if text := fmt.Sprint(s.Name(), s.Attributes(), s.Status()); strings.Contains(text, "secret") {
				t.Errorf("a secret reached a span: %s", text)
			}
		}
		calls, attempts, servers := byKind[trace.SpanKindInternal], byKind[trace.SpanKindClient], byKind[trace.SpanKindServer]
		if len(calls) != 1 || len(attempts) != 2 || len(servers) != 2 {
			t.Fatalf("%d calls, %d attempts, %d server spans; want 1, 2, 2", len(calls), len(attempts), len(servers))
		}
		for _, a := range attempts {
			if a.Parent().SpanID() != calls[0].SpanContext().SpanID() {
				t.Errorf("attempt %s is not below the call", a.Name())
			}
		}
		for _, s := range servers {
			if parent[s.Parent().SpanID()] != calls[0].SpanContext().SpanID() || s.Name() != "GET /v1/{id}" {
				t.Errorf("server span %q is not below an attempt, or not named by its route", s.Name())
			}
		}
		for i, reason := range []string{"policy", "search"} { // the second went where the first did, for want of others
			events := attempts[i].Events()
			if len(events) != 1 || events[0].Name != "gabion.pick" || !strings.Contains(fmt.Sprint(events[0].Attributes), reason) {
				t.Errorf("attempt %d says why it goes there by %v, want one event with reason %s", i+1, events, reason)
			}
		}
		if calls[0].Status().Code == codes.Error || attempts[0].Status().Code != codes.Error {
			t.Error("the call should be fine and its first attempt in error")
		}
	})
}

// Whatever happens to a call, every span that starts ends.
func TestEverySpanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.PathValue("id") {
			case "panic":
				panic("oh")
			case "abort":
				panic(http.ErrAbortHandler)
			case "hang":
				<-r.Context().Done()
			case "stream":
				for range 3 {
					_, _ = io.WriteString(w, "x")
					_ = http.NewResponseController(w).Flush()
				}
			case "busy":
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}, transport.WithPolicy(transport.Policy{AttemptTimeout: 50 * time.Millisecond, Timeout: 200 * time.Millisecond}))
		paths := []string{"/v1/fine", "/v1/panic", "/v1/abort", "/v1/hang", "/v1/stream", "/v1/busy", "/none"}
		for i := range 140 { // enough for the breaker to open and refuse some
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			b.get(t, ctx, paths[i%len(paths)])
			cancel()
		}
		b.client.CloseIdleConnections()
		synctest.Wait()
		if n, ended := b.counts.started.Load(), b.counts.ended.Load(); n < 200 || n != ended {
			t.Errorf("%d spans began and %d ended, want as many, and 200 at least", n, ended)
		}
	})
}

func TestLabelsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(http.ResponseWriter, *http.Request) {})
		for i := range 50 {
			req, _ := http.NewRequestWithContext(t.Context(), fmt.Sprintf("M%d", i), fmt.Sprintf("http://ghost%d/", i), nil)
			if resp, err := b.client.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		families, err := b.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if strings.HasPrefix(l.GetValue(), "ghost") || strings.HasPrefix(l.GetValue(), "M1") {
						t.Errorf("%s has a label from outside: %s=%q", f.GetName(), l.GetName(), l.GetValue())
					}
				}
			}
		}
	})
}

// Shadows are counted by how they compare, by the observer itself and behind
// another one, and they are neither calls nor attempts.
func TestShadowsAreCounted(t *testing.T) {
	for name, opts := range map[string][]transport.ClientOption{
		"alone":          nil,
		"behind another": {transport.WithObserver(instrument.Client(nil, nil))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := transport.Policy{Balance: balance.Policy{
					Select: balance.Selector{Version: "v1"},
					Shadow: balance.Shadow{Select: balance.Selector{Version: "v2"}, Percent: 100},
				}}
				b := start(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get(transport.HeaderCriticality) == "sheddable" && r.PathValue("id") == "new" {
						w.WriteHeader(http.StatusNotFound)
					}
				}, append(opts, transport.WithServicePolicy("pricing", p))...)
				if err := b.registry.Set("pricing", []discovery.Instance{
					{ID: "p1", Service: "pricing", Addr: b.addr, Version: "v1"},
					{ID: "p2", Service: "pricing", Addr: b.addr, Version: "v2"},
				}); err != nil {
					t.Fatal(err)
				}
				b.get(t, t.Context(), "/v1/old")
				b.get(t, t.Context(), "/v1/new")
				b.get(t, t.Context(), "/v1/new")
				synctest.Wait()
				text := b.scrape()
				for _, want := range []string{
					`gabion_client_shadows_total{result="match",service="pricing"} 1`,
					`gabion_client_shadows_total{result="mismatch",service="pricing"} 2`,
					`gabion_client_attempts_total{kind="first",outcome="success",service="pricing"} 3`, // and no shadows among them
				} {
					if !strings.Contains(text, want) {
						t.Errorf("no %s in\n%s", want, text)
					}
				}
			})
		})
	}
}

// Fallbacks are counted by what answered; the call itself counts as failed.
func TestFallbacksAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := transport.Policy{Fallback: transport.Fallback{LastGood: time.Minute, Value: &transport.FallbackValue{Text: "x"}}}
		b := start(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
		}, transport.WithServicePolicy("pricing", p), transport.WithServicePolicy("nobody", p))
		b.get(t, t.Context(), "/v1/1")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://nobody/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		text := b.scrape()
		for _, want := range []string{
			`gabion_client_fallbacks_total{kind="last_good",outcome="missing",service="pricing"} 1`,
			`gabion_client_fallbacks_total{kind="value",outcome="answered",service="pricing"} 1`,
			`gabion_client_fallbacks_total{kind="value",outcome="answered",service="_unknown"} 1`,
			`gabion_client_attempts_total{kind="first",outcome="failure",service="pricing"} 1`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
	})
}

// scrape returns the metrics in the text format.
func (b bench) scrape() string {
	w := httptest.NewRecorder()
	metrics.Handler(b.reg).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}
