package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/retry"
)

// Workers that call at the same time keep their connections: net/http by itself
// keeps two and opens and closes the others for each call.
func TestManyWorkersFewConnections(t *testing.T) {
	const workers = 32
	calls := 200
	if testing.Short() {
		calls = 20
	}
	for name, tc := range map[string]struct {
		opts  []transport.ClientOption
		conns int
	}{
		"by default": {nil, workers},
		"bounded":    {[]transport.ClientOption{transport.WithMaxConns(4)}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var served atomic.Int32
				met := make(chan struct{}) // closed when each connection has a request
				var n memnet.Network
				all := hostsIn(t, &n, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if int(served.Add(1)) == tc.conns {
						close(met)
					}
					<-met
					_, _ = io.WriteString(w, "ok")
				}), nil, "a")
				c := over(t, append(tc.opts, transport.WithDialer(n.Dial)), all["a"].Addr)
				var wg sync.WaitGroup
				for range workers {
					wg.Go(func() {
						for range calls {
							if status, _, err := get(t.Context(), c, "http://raw/"); status != 200 {
								t.Errorf("got %d %v", status, err)
							}
						}
					})
				}
				wg.Wait()
				if _, seen := all["a"].conns(); seen != tc.conns {
					t.Errorf("%d connections for %d workers, want %d", seen, workers, tc.conns)
				}
				idle(t, c)
			})
		})
	}
}

// abandoned serves answers that are not what the caller gets in the end. In the
// body of each are as many bytes as size says.
type abandoned struct {
	size   int
	stall  bool // the body does not end
	served atomic.Int32
}

func (a *abandoned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := a.served.Add(1)
	switch {
	case r.URL.Path == "/redirect" && n%2 == 1:
		w.Header().Set("Location", "/redirect")
		a.fill(w, r, http.StatusFound)
	case r.URL.Path == "/retry" && n%2 == 1:
		a.fill(w, r, http.StatusServiceUnavailable)
	case r.URL.Path == "/fallback":
		a.fill(w, r, http.StatusInternalServerError)
	default:
		_, _ = io.WriteString(w, "in the end")
	}
}

func (a *abandoned) fill(w http.ResponseWriter, r *http.Request, status int) {
	if !a.stall {
		w.Header().Set("Content-Length", strconv.Itoa(a.size))
	}
	w.WriteHeader(status)
	_, _ = w.Write(make([]byte, a.size))
	if a.stall {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// A thousand attempts whose answers nobody wants leave nothing behind. If their
// bodies are small, their connection serves the next; if not, it is closed.
func TestAbandonedAnswers(t *testing.T) {
	policy := transport.Policy{
		Timeout: time.Minute, AttemptTimeout: time.Minute,
		Breaker: breaker.Settings{Consecutive: -1, MinCalls: 1 << 20},
		Retry:   retry.Policy{Base: time.Microsecond, Cap: time.Microsecond, Budget: retry.BudgetPolicy{Cap: 1000, PerSuccess: 1}},
	}
	planB := transport.WithFallback("raw", func(_ context.Context, req *http.Request, _ error) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("in the end"))}, nil
	})
	for name, tc := range map[string]struct {
		path  string
		calls int
		opts  []transport.ClientOption
	}{
		"retried":    {"/retry", 500, nil},
		"redirected": {"/redirect", 500, nil},
		"replaced":   {"/fallback", 1000, []transport.ClientOption{planB}},
	} {
		for kind, a := range map[string]*abandoned{
			"none": {}, "small": {size: 2000}, "large": {size: 200_000}, "endless": {size: 10, stall: true},
		} {
			for version, speak := range speaks {
				if kind == "endless" && tc.path == "/redirect" {
					continue // that is net/http's to read, and it reads on
				}
				t.Run(name+"/"+kind+"/"+version, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						a := &abandoned{size: a.size, stall: a.stall}
						calls := tc.calls
						switch {
						case testing.Short():
							calls /= 20
						case a.size > 2000:
							calls /= 5
						}
						var p http.Protocols
						speak(&p)
						var n memnet.Network
						all := hostsIn(t, &n, a, &p, "a")
						opts := append([]transport.ClientOption{transport.WithPolicy(policy), transport.WithProtocols(&p), transport.WithDialer(n.Dial)}, tc.opts...)
						c := over(t, opts, all["a"].Addr)
						for range calls {
							if status, body, err := get(t.Context(), c, "http://raw"+tc.path); status != 200 || body != "in the end" {
								t.Fatalf("got %d %q %v", status, body, err)
							}
						}
						time.Sleep(time.Second) // the last body that stalls is closed by a timer
						synctest.Wait()
						open, seen := all["a"].conns()
						usedAgain := version == "http2" || a.size <= 2000 && !a.stall
						if open > 1 || usedAgain && seen != 1 {
							t.Errorf("%d connections are open, and %d were", open, seen)
						}
						idle(t, c)
					})
				})
			}
		}
	}
}

// A call that is refused opens no connection.
func TestRefusedCallsConnectToNobody(t *testing.T) {
	leaktest.Check(t)
	var dials atomic.Int32
	dial := func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		return nil, errors.New("nobody there")
	}
	c := over(t, []transport.ClientOption{transport.WithDialer(dial), transport.WithPolicy(transport.Policy{
		Retry: retry.Policy{Attempts: 1}, Breaker: breaker.Settings{Consecutive: 1, OpenFor: time.Hour, MaxOpenFor: time.Hour},
	})}, "127.0.0.1:1")
	refused := 0
	for range 1000 {
		if _, _, err := get(t.Context(), c, "http://raw/"); errors.Is(err, breaker.ErrOpen) {
			refused++
		}
	}
	if n := dials.Load(); n != 1 || refused != 999 {
		t.Errorf("%d dials and %d refusals, want 1 and 999", n, refused)
	}
	idle(t, c)
}
