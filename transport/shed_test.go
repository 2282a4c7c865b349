package transport_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/instrument"
	"github.com/gabion-go/gabion/transport/limit"
)

// newBusy returns a server whose only place is taken until the test ends.
func newBusy(t testing.TB, s limit.Settings, opts ...transport.ServerOption) *transport.Server {
	t.Helper()
	s.Min, s.Max = 1, 1
	inside, end := make(chan struct{}), make(chan struct{})
	srv, err := transport.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(inside)
		<-end
	}), append(opts, transport.WithSettings(transport.ServerSettings{Limit: s}))...)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	<-inside
	t.Cleanup(func() {
		close(end)
		<-done
	})
	return srv
}

// A refusal says what it must, in all ways.
func TestShedResponse(t *testing.T) {
	srv := newBusy(t, limit.Settings{Queue: -1})
	for name, tc := range map[string]struct {
		method, header, value string
		status                int
		shed                  string
	}{
		"busy":    {http.MethodGet, "Accept", "*/*", 503, "1"},
		"head":    {http.MethodHead, "Accept", "*/*", 503, "1"},
		"expired": {http.MethodGet, transport.HeaderTimeout, "0", 504, ""},
	} {
		r := httptest.NewRequest(tc.method, "/", nil)
		r.Header.Set(tc.header, tc.value)
		w := httptest.NewRecorder()
		w.Header().Set("Cache-Control", "max-age=60") // as an outer handler may have said
		srv.ServeHTTP(w, r)
		h := w.Header()
		if w.Code != tc.status || h.Get(transport.HeaderShed) != tc.shed || (h.Get("Retry-After") != "") != (tc.shed != "") ||
			h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "" {
			t.Errorf("%s: %d %v", name, w.Code, h)
		}
		if tc.method == http.MethodHead {
			if w.Body.Len() != 0 {
				t.Errorf("%s: a body of %d bytes", name, w.Body.Len())
			}
			continue
		}
		var p transport.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != tc.status || p.Detail == "" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// Callers that are refused at once are not told to be back at once, unless they
// are gabion's, which see to that themselves.
func TestRetryAfterIsSpread(t *testing.T) {
	srv := newBusy(t, limit.Settings{Queue: -1})
	for name, attempt := range map[string]string{"foreign": "", "gabion": "1"} {
		told := map[string]int{}
		for range 1000 {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if attempt != "" {
				r.Header.Set(transport.HeaderAttempt, attempt)
			}
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, r)
			told[w.Header().Get("Retry-After")]++
		}
		if name == "gabion" {
			if told["1"] != 1000 {
				t.Errorf("gabion's clients are told %v", told)
			}
			continue
		}
		for _, seconds := range []string{"1", "2", "3"} {
			if n := told[seconds]; n < 250 || n > 420 {
				t.Errorf("%d of 1000 callers are told %s s, want a third; all: %v", n, seconds, told)
			}
		}
	}
}

// With fairness a client's request is served in its turn, whatever another one
// has waiting; without, it waits behind all of them.
func TestFairness(t *testing.T) {
	for name, tc := range map[string]struct {
		opts []transport.ServerOption
		want string
	}{
		"on":  {[]transport.ServerOption{transport.WithFairness(func(r *http.Request) string { return r.RemoteAddr })}, "hhlh"},
		"off": {nil, "hhhl"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var served []string
				srv, err := transport.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					time.Sleep(10 * time.Millisecond)
					served = append(served, r.RemoteAddr)
				}), append(tc.opts, transport.WithSettings(transport.ServerSettings{Limit: limit.Settings{Min: 1, Max: 1}}))...)
				if err != nil {
					t.Fatal(err)
				}
				for _, client := range strings.Split("hhhl", "") {
					r := httptest.NewRequest(http.MethodGet, "/", nil)
					r.RemoteAddr = client
					go srv.ServeHTTP(httptest.NewRecorder(), r)
					synctest.Wait()
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if got := strings.Join(served, ""); got != tc.want {
					t.Errorf("served %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// A request that middleware refuses is shed as observers see it, and its time
// says nothing; outside a server MarkShed does nothing.
func TestMarkShed(t *testing.T) {
	seen := &shedObserver{}
	srv, err := transport.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		transport.MarkShed(r.Context(), "rate")
		w.WriteHeader(http.StatusTooManyRequests)
	}), transport.WithServerObserver(seen))
	if err != nil {
		t.Fatal(err)
	}
	srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if seen.shed != "rate" || seen.status != 429 {
		t.Errorf("observed %+v", seen)
	}
	transport.MarkShed(t.Context(), "rate")
}

// Refusals of a middleware, quick as they are, say nothing of how busy the server
// is: neither its limit nor its report goes by them, as both do by answers.
func TestMarkedRefusalsSayNothing(t *testing.T) {
	for _, shed := range []bool{true, false} {
		t.Run(fmt.Sprintf("shed=%v", shed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var served atomic.Int32
				srv, err := transport.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if served.Add(1) < 1000 {
						time.Sleep(100 * time.Microsecond)
					} else {
						time.Sleep(50 * time.Millisecond)
					}
					if shed {
						transport.MarkShed(r.Context(), "rate")
					}
					w.WriteHeader(http.StatusTooManyRequests)
				}))
				if err != nil {
					t.Fatal(err)
				}
				_, before := srv.Limit()
				var wg sync.WaitGroup
				for range 40 {
					wg.Go(func() {
						for range 200 {
							srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
						}
					})
				}
				wg.Wait()
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header.Set(transport.HeaderAttempt, "1")
				w := httptest.NewRecorder()
				srv.ServeHTTP(w, r)
				_, after := srv.Limit()
				if still := after == before; still != shed {
					t.Errorf("the limit was %d and is %d", before, after)
				}
				report := w.Header().Get(transport.HeaderLoad)
				if none := strings.Contains(report, "latency_ms=0.000"); none != shed || report == "" {
					t.Errorf("reported %q", report)
				}
			})
		})
	}
}

type shedObserver struct {
	shed   string
	status int
}

func (*shedObserver) StartRequest(ctx context.Context, _ *transport.Request) context.Context {
	return ctx
}

func (o *shedObserver) EndRequest(_ context.Context, q *transport.Request) {
	o.shed, o.status = q.Shed, q.Status
}

// nowhere is a ResponseWriter that keeps nothing but the header.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(int)             {}
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }

func shedRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v1/quote", nil)
	r.Header.Set(transport.HeaderTimeout, "1000")
	r.Header.Set(transport.HeaderCriticality, "sheddable")
	return r
}

func TestShedAllocations(t *testing.T) {
	srv := newBusy(t, limit.Settings{Queue: -1}, transport.WithFairness(func(r *http.Request) string { return r.RemoteAddr }))
	r, w := shedRequest(), &nowhere{http.Header{}}
	if n := testing.AllocsPerRun(1000, func() { clear(w.header); srv.ServeHTTP(w, r) }); n > 0 {
		t.Errorf("%v allocations for a refusal, want none", n)
	}
}

// BenchmarkShed is a refusal by a server, from the request to the last byte of
// its response, without a network: of a request of anybody's, of one of gabion's
// clients, who are told of the load, and with metrics and traces of which none
// is sampled.
func BenchmarkShed(b *testing.B) {
	b.Run("foreign", func(b *testing.B) { benchShed(b, shedRequest()) })
	b.Run("gabion", func(b *testing.B) {
		r := shedRequest()
		r.Header.Set(transport.HeaderAttempt, "1")
		benchShed(b, r)
	})
	b.Run("observed", func(b *testing.B) {
		m, p := telemetry(b)
		benchShed(b, shedRequest(), transport.WithServerObserver(instrument.Server("pricing", m, p)))
	})
}

func benchShed(b *testing.B, r *http.Request, opts ...transport.ServerOption) {
	srv, w := newBusy(b, limit.Settings{Queue: -1}, opts...), &nowhere{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		srv.ServeHTTP(w, r)
	}
}
