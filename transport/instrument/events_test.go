package instrument_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/instrument"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// scene is a client and the servers of pricing, on a network in memory and in a
// synctest bubble, whose metrics are compared whole.
type scene struct {
	*testing.T
	net      memnet.Network
	metrics  *metrics.Metrics
	bench    bench
	mu       sync.Mutex
	handler  func(instance string) http.HandlerFunc
	settings transport.ServerSettings
}

// call sets how pricing is called, and serves the instances that have no name
// ending in "down".
func (s *scene) call(p transport.Policy, instances ...discovery.Instance) {
	s.Helper()
	s.bench.reg = prometheus.NewRegistry()
	var err error
	if s.metrics, err = metrics.New(s.bench.reg); err != nil {
		s.Fatal(err)
	}
	if s.bench.registry, err = static.New(nil); err != nil {
		s.Fatal(err)
	}
	for i, in := range instances {
		in.Service, in.Addr = "pricing", in.ID+":1"
		instances[i] = in
		if !strings.HasSuffix(in.ID, "down") {
			s.serve(in)
		}
	}
	if err := s.bench.registry.Set("pricing", instances); err != nil {
		s.Fatal(err)
	}
	c, err := transport.NewClient(s.bench.registry, transport.WithDialer(s.net.Dial), transport.WithRand(random.New(1)),
		transport.WithServicePolicy("pricing", p), transport.WithObserver(instrument.Client(s.metrics, nil)))
	if err != nil {
		s.Fatal(err)
	}
	s.bench.client = c.HTTPClient()
	s.Cleanup(func() {
		_ = c.Close()
		c.CloseIdleConnections()
		_ = s.bench.registry.Close()
	})
}

// serve begins to serve an instance.
func (s *scene) serve(in discovery.Instance) {
	s.Helper()
	srv, err := transport.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		h := s.handler
		s.mu.Unlock()
		if h != nil {
			h(in.ID)(w, r)
		}
	}), transport.WithSettings(s.settings), transport.WithServerObserver(instrument.Server("pricing", s.metrics, nil)))
	if err != nil {
		s.Fatal(err)
	}
	l, err := s.net.Listen(in.Addr)
	if err != nil {
		s.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	s.metrics.AddServerLimit("pricing", srv.Limit)
	s.Cleanup(func() { _ = srv.Close() })
}

// answers makes every instance answer in the same way.
func (s *scene) answers(h http.HandlerFunc) { s.answersBy(func(string) http.HandlerFunc { return h }) }

func (s *scene) answersBy(h func(instance string) http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// get makes a call and returns its status and its error.
func (s *scene) get(header ...string) (int, error) {
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://pricing/", nil)
	if err != nil {
		return 0, err
	}
	if len(header) > 0 {
		req.Header.Set(header[0], header[1])
	}
	resp, err := s.bench.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Body.Close()
}

// held makes a call that is under way until release.
func (s *scene) held() (release func()) {
	let, done := make(chan struct{}), make(chan struct{})
	s.answers(func(http.ResponseWriter, *http.Request) { <-let })
	go func() {
		defer close(done)
		if code, err := s.get(); code != http.StatusOK || err != nil {
			s.Errorf("the call under way: %d, %v", code, err)
		}
	}()
	synctest.Wait()
	return sync.OnceFunc(func() { close(let); <-done; synctest.Wait() })
}

// shows compares the contract's series that are not zero, but for those that
// never are, with what they should be.
func (s *scene) shows(when string, want ...string) {
	s.Helper()
	synctest.Wait()
	var got []string
	for line := range strings.Lines(s.bench.scrape()) {
		line = strings.TrimSpace(line)
		constant := strings.HasPrefix(line, "gabion_build_info") || strings.Contains(line, "_limit_max{")
		if strings.HasPrefix(line, "gabion_") && !constant && !strings.HasSuffix(line, " 0") {
			got = append(got, line)
		}
	}
	want = slices.Sorted(slices.Values(want))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.Errorf("%s\n  got  %s\n  want %s", when, strings.Join(got, "\n       "), strings.Join(want, "\n       "))
	}
}

// Series that most scenes show.
const (
	oneEndpoint   = `gabion_balancer_endpoints{service="pricing",state="available"} 1`
	oneSuccess    = `gabion_client_attempts_total{kind="first",outcome="success",service="pricing"} 1`
	oneFailure    = `gabion_client_attempts_total{kind="first",outcome="failure",service="pricing"} 1`
	oneRejected   = `gabion_client_attempts_total{kind="first",outcome="rejected",service="pricing"} 1`
	oneOpened     = `gabion_breaker_transitions_total{service="pricing",to="open"} 1`
	oneHalfOpened = `gabion_breaker_transitions_total{service="pricing",to="half-open"} 1`
	oneAtClient   = `gabion_limit_inflight{service="pricing",side="client"} 1`
	oneAtServer   = `gabion_limit_inflight{service="pricing",side="server"} 1`
)

// once is that nothing is tried again.
var once = retry.Policy{Attempts: 1}

// one is a service of one instance.
var one = discovery.Instance{ID: "a"}

func fine(http.ResponseWriter, *http.Request) {}

func fails(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }

func hangs(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// Whatever can happen to a call happens once, and the scrape says that and
// nothing else.
func TestEachEventIsCounted(t *testing.T) {
	for name, act := range map[string]func(*scene){
		"success": func(s *scene) {
			s.call(transport.Policy{}, one)
			_, _ = s.get()
			s.shows("", oneEndpoint, oneSuccess)
		},
		"failure": func(s *scene) {
			s.call(transport.Policy{Retry: once}, one)
			s.answers(fails)
			_, _ = s.get()
			s.shows("", oneEndpoint, oneFailure)
		},
		"timeout": func(s *scene) {
			s.call(transport.Policy{Retry: once, AttemptTimeout: 50 * time.Millisecond}, one)
			s.answers(hangs)
			_, _ = s.get()
			s.shows("", oneEndpoint, `gabion_client_attempts_total{kind="first",outcome="timeout",service="pricing"} 1`)
		},
		"cancelled": func(s *scene) {
			s.call(transport.Policy{}, one)
			ctx, cancel := context.WithCancel(s.Context())
			s.answers(func(w http.ResponseWriter, r *http.Request) {
				cancel()
				hangs(w, r)
			})
			s.bench.get(s.T, ctx, "/")
			s.shows("", oneEndpoint, `gabion_client_attempts_total{kind="first",outcome="cancelled",service="pricing"} 1`)
		},
		"nobody": func(s *scene) {
			s.call(transport.Policy{})
			_, _ = s.get()
			s.shows("", `gabion_client_attempts_total{kind="first",outcome="rejected",service="_unknown"} 1`)
		},
		"retry": func(s *scene) {
			s.call(transport.Policy{}, one)
			var again atomic.Bool
			s.answers(func(w http.ResponseWriter, _ *http.Request) {
				if !again.Swap(true) {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			_, _ = s.get()
			s.shows("", oneEndpoint, oneFailure, `gabion_client_attempts_total{kind="retry",outcome="success",service="pricing"} 1`)
		},
		"hedge": func(s *scene) {
			s.call(transport.Policy{Hedge: retry.Hedge{On: true, Samples: 100}}, one, discovery.Instance{ID: "b"})
			s.answers(func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Millisecond) })
			for range 500 { // enough is known, and saved up
				_, _ = s.get()
			}
			var late atomic.Bool
			s.answers(func(w http.ResponseWriter, r *http.Request) {
				if !late.Swap(true) {
					hangs(w, r)
				}
			})
			_, _ = s.get()
			s.shows("", `gabion_balancer_endpoints{service="pricing",state="available"} 2`,
				`gabion_client_attempts_total{kind="first",outcome="success",service="pricing"} 500`,
				`gabion_client_attempts_total{kind="first",outcome="cancelled",service="pricing"} 1`,
				`gabion_client_attempts_total{kind="hedge",outcome="success",service="pricing"} 1`)
		},
		"retry budget": func(s *scene) {
			s.call(transport.Policy{Retry: retry.Policy{Budget: retry.BudgetPolicy{Cap: 1, Refill: -1}}}, one)
			s.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
			_, _ = s.get()
			s.shows("", oneEndpoint, oneFailure,
				`gabion_client_attempts_total{kind="retry",outcome="failure",service="pricing"} 1`,
				`gabion_client_retry_budget_exhausted_total{service="pricing"} 1`)
		},
		"circuit": func(s *scene) {
			s.call(transport.Policy{Retry: once, Breaker: breaker.Settings{
				Consecutive: 1, OpenFor: time.Second, Jitter: -1, Probes: 1,
			}}, one)
			s.answers(fails)
			_, _ = s.get()
			s.shows("open", oneEndpoint, oneFailure, oneOpened, `gabion_breaker_state{service="pricing"} 2`)
			if _, err := s.get(transport.HeaderCriticality, "sheddable"); !errors.Is(err, breaker.ErrOpen) {
				s.Fatalf("open, but: %v", err)
			}
			refused := []string{
				oneEndpoint, oneFailure, oneOpened, oneRejected,
				`gabion_limit_rejected_total{criticality="sheddable",reason="breaker",service="pricing",side="client"} 1`,
			}
			s.shows("refused", append(refused, `gabion_breaker_state{service="pricing"} 2`)...)
			time.Sleep(time.Second)
			refused = append(refused, oneHalfOpened)
			s.shows("half-open, without a call", append(refused, `gabion_breaker_state{service="pricing"} 1`)...)
			s.answers(fine)
			_, _ = s.get()
			s.shows("closed", append(refused, oneSuccess, `gabion_breaker_transitions_total{service="pricing",to="closed"} 1`)...)
		},
		"bulkhead": func(s *scene) {
			s.call(transport.Policy{Limit: limit.Policy{MaxInflight: 1}}, one)
			release := s.held()
			s.shows("one under way", oneEndpoint, oneAtClient, oneAtServer)
			if _, err := s.get(transport.HeaderCriticality, "critical_plus"); !errors.Is(err, transport.ErrBulkheadFull) {
				s.Errorf("a second one: %v", err)
			}
			rejected := `gabion_limit_rejected_total{criticality="critical_plus",reason="bulkhead",service="pricing",side="client"} 1`
			s.shows("refused", oneEndpoint, oneAtClient, oneAtServer, oneRejected, rejected)
			release()
			s.shows("over", oneEndpoint, oneRejected, rejected, oneSuccess)
		},
		"bulkhead of a route": func(s *scene) {
			s.call(transport.Policy{Routes: map[string]transport.Route{"GET /{$}": {Limit: limit.Policy{MaxInflight: 2}}}}, one)
			release, releaseToo := s.held(), s.held()
			_, _ = s.get(transport.HeaderCriticality, "sheddable")
			rejected := []string{
				oneEndpoint, oneRejected,
				`gabion_limit_rejected_total{criticality="sheddable",reason="bulkhead",service="pricing",side="client"} 1`,
				`gabion_route_limit_rejected_total{route="GET /{$}",service="pricing"} 1`,
			}
			s.shows("refused", append(rejected,
				`gabion_limit_inflight{service="pricing",side="client"} 2`, `gabion_limit_inflight{service="pricing",side="server"} 2`,
				`gabion_route_limit_inflight{route="GET /{$}",service="pricing"} 2`)...)
			if want := `gabion_route_limit_max{route="GET /{$}",service="pricing"} 2`; !strings.Contains(s.bench.scrape(), want) {
				s.Errorf("no %s in\n%s", want, s.bench.scrape())
			}
			release()
			releaseToo()
			s.shows("over", append(rejected, `gabion_client_attempts_total{kind="first",outcome="success",service="pricing"} 2`)...)
		},
		"throttle": func(s *scene) {
			s.call(transport.Policy{Retry: once, Throttle: limit.ThrottlePolicy{On: true}}, one)
			s.answers(fails)
			failures := 0
			for err := error(nil); err == nil && failures < 1000; failures++ {
				_, err = s.get()
			}
			failures-- // the last one was held back
			s.shows("", oneEndpoint, oneRejected,
				`gabion_client_attempts_total{kind="first",outcome="failure",service="pricing"} `+strconv.Itoa(failures),
				`gabion_limit_rejected_total{criticality="critical",reason="throttle",service="pricing",side="client"} 1`)
		},
		"server is full": func(s *scene) {
			s.settings.Limit = limit.Settings{Min: 1, Max: 1, Queue: -1}
			s.call(transport.Policy{Retry: once}, one)
			release := s.held()
			_, _ = s.get(transport.HeaderCriticality, "sheddable_plus")
			release()
			s.shows("", oneEndpoint, oneSuccess, oneRejected,
				`gabion_limit_rejected_total{criticality="sheddable_plus",reason="queue_full",service="pricing",side="server"} 1`)
		},
		"server's queue is slow": func(s *scene) {
			s.settings.Limit = limit.Settings{Min: 1, Max: 1, QueueWait: 100 * time.Millisecond}
			s.call(transport.Policy{Retry: once}, one)
			release := s.held()
			_, _ = s.get()
			release()
			s.shows("", oneEndpoint, oneSuccess, oneRejected,
				`gabion_limit_rejected_total{criticality="critical",reason="queue_timeout",service="pricing",side="server"} 1`)
		},
		"ejected": func(s *scene) {
			s.call(transport.Policy{Retry: once, Balance: balance.Policy{Ejection: balance.Ejection{Consecutive: 1}}},
				one, discovery.Instance{ID: "b"}, discovery.Instance{ID: "c"})
			s.answers(fails)
			_, _ = s.get()
			s.shows("", oneFailure, `gabion_balancer_endpoints{service="pricing",state="available"} 2`,
				`gabion_balancer_endpoints{service="pricing",state="ejected"} 1`)
		},
		"draining": func(s *scene) {
			s.call(transport.Policy{}, one, discovery.Instance{ID: "b", Weight: -1})
			_, _ = s.get()
			s.shows("", oneEndpoint, oneSuccess, `gabion_balancer_endpoints{service="pricing",state="draining"} 1`)
		},
		"panic": func(s *scene) {
			s.call(transport.Policy{Retry: once, Balance: balance.Policy{Ejection: balance.Ejection{Consecutive: 1, MaxPercent: 100}}},
				one, discovery.Instance{ID: "b"}, discovery.Instance{ID: "c"})
			s.answers(fails)
			_, _ = s.get()
			_, _ = s.get()
			s.shows("", oneEndpoint, `gabion_balancer_endpoints{service="pricing",state="ejected"} 2`,
				`gabion_balancer_panic{service="pricing"} 1`,
				`gabion_client_attempts_total{kind="first",outcome="failure",service="pricing"} 2`)
		},
		"unreachable": func(s *scene) {
			s.call(transport.Policy{Retry: once, Balance: balance.Policy{Name: balance.RoundRobin}}, one, discovery.Instance{ID: "b-down"})
			calls, failed := 0, 0
			for ; failed < 2 && calls < 100; calls++ {
				if _, err := s.get(); err != nil {
					failed++
				}
				time.Sleep(time.Second) // it is left alone for a while after the first
			}
			s.shows("", oneEndpoint, `gabion_balancer_endpoints{service="pricing",state="ejected"} 1`,
				`gabion_client_attempts_total{kind="first",outcome="failure",service="pricing"} 2`,
				`gabion_client_attempts_total{kind="first",outcome="success",service="pricing"} `+strconv.Itoa(calls-2))
		},
		"shadows of the client": func(s *scene) {
			s.call(transport.Policy{
				Retry: once, Breaker: breaker.Settings{Consecutive: 1, OpenFor: time.Hour, MaxOpenFor: time.Hour, Shadow: true},
				Balance: balance.Policy{Ejection: balance.Ejection{Shadow: true, Consecutive: 1}},
			}, one, discovery.Instance{ID: "b"}, discovery.Instance{ID: "c"})
			s.answers(fails)
			_, _ = s.get()
			_, _ = s.get()
			s.shows("", `gabion_balancer_endpoints{service="pricing",state="available"} 3`,
				`gabion_client_attempts_total{kind="first",outcome="failure",service="pricing"} 2`,
				oneOpened, `gabion_breaker_state{service="pricing"} 2`,
				`gabion_shadow_rejected_total{reason="breaker",service="pricing",side="client"} 1`,
				`gabion_shadow_ejections_total{service="pricing"} 1`)
		},
		"shadow of a bulkhead": func(s *scene) {
			s.call(transport.Policy{Limit: limit.Policy{MaxInflight: 1, Shadow: true}}, one)
			release := s.held()
			s.answers(fine)
			_, _ = s.get()
			release()
			s.shows("", oneEndpoint, `gabion_client_attempts_total{kind="first",outcome="success",service="pricing"} 2`,
				`gabion_shadow_rejected_total{reason="bulkhead",service="pricing",side="client"} 1`)
		},
		"shadow of the server": func(s *scene) {
			s.settings.Limit = limit.Settings{Min: 1, Max: 1, Queue: -1, Shadow: true}
			s.call(transport.Policy{}, one)
			release := s.held()
			s.answers(fine)
			_, _ = s.get()
			release()
			s.shows("", oneEndpoint, `gabion_client_attempts_total{kind="first",outcome="success",service="pricing"} 2`,
				`gabion_shadow_rejected_total{reason="queue_full",service="pricing",side="server"} 1`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { act(&scene{T: t}) })
		})
	}
}
