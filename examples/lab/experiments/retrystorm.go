package experiments

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// The policies of retry-storm that are not gabion: how often each hop tries.
var triesAHop = map[string]int{"no-retries": 1, "three-tries-a-hop": 3, "four-tries-a-hop": 4}

// How the last service of the chain is dead.
var deaths = []struct {
	variant string
	kind    transporttest.Kind
	status  int
}{
	{"answers 503", transporttest.Status, http.StatusServiceUnavailable},
	{"refuses", transporttest.Crash, 0},
	{"hangs", transporttest.Pause, 0},
}

// RetryStorm counts the requests that reach the last of four services, which is
// dead, for each request of a user.
func RetryStorm() bench.Experiment {
	return bench.Experiment{
		Name:  "retry-storm",
		Title: "a chain of four services whose last one is dead",
		About: `
A user's request goes through three services, front, middle and back, to the fourth, leaf. Each
has three replicas: real servers and clients in virtual time. Users make 20 requests a second, each
tried once with 10 s of patience. After 5 s all of leaf is dead for 30 s: it answers 503, its
processes are gone and connections are refused, or it hangs. The registry keeps listing it.

attempts_per_call is how many requests are sent to leaf meanwhile for each request that a user makes,
first_5s that of the first five seconds and late that of the second half. Quantiles are those of the
users during the outage; recovery_s is until, for good, 99 % of the requests of each second go well.

The naive clients are net/http over the replicas in turn, 2 s for each try, and another try at once
after whatever failure, at each of the three hops: 3 x 3 x 3 and 4 x 4 x 4 requests, as published.
When leaf hangs they are fewer, because all hops have the same patience, and what has been given up
above is cancelled below.

gabion's hops do not retry what a hop below has retried, pay for retries from a budget that only
successes fill, and have a breaker each. In the first seconds the budgets are spent and the breakers
open; after that only probes go out. Where leaf answers or refuses, the circuits for it open and none
above them: whoever meets one says that he is not to blame. The price is the recovery: each replica of
back has a circuit of its own, and finds out that leaf is back when an open period of up to 12 s is
over, or soon after the registry has told it of the processes that started.`,
		Takes:    time.Minute,
		Policies: []string{"no-retries", "three-tries-a-hop", "four-tries-a-hop", whole},
		Published: []bench.Published{
			{Policy: "three-tries-a-hop", Variant: "answers 503", Figures: "27 requests", Source: retryStormBrooker},
			{Policy: "four-tries-a-hop", Variant: "answers 503", Figures: "64 requests", Source: retryStormSRE},
			{Policy: whole, Variant: "answers 503", Figures: "1.1 with a retry budget of 10 % at one layer", Source: retryStormSRE},
		},
		Columns: []string{"attempts_per_call", "first_5s", "late", "p50_ms", "p99_ms", "recovery_s"},
		Chart:   []string{"attempts_per_call", "p50_ms"},
		Run:     runRetryStorm,
	}
}

// Who published the multiplication.
const (
	retryStormBrooker = `Brooker, "Timeouts, retries, and backoff with jitter", Amazon Builders' Library: 3 tries at each of 5 layers are 243 times the load; here it is 3 layers`
	retryStormSRE     = `Beyer et al., "Site Reliability Engineering", 2016, chapters 21 and 22`
)

// storm is one run of the chain.
type storm struct {
	policy string
	death  int // of deaths
	seed   uint64

	rate                 float64
	begin, outage, after time.Duration
	sent                 []atomic.Int64 // requests to leaf, by the second of the run
}

func runRetryStorm(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	var storms []*storm
	for _, policy := range r.Policies {
		for death := range deaths {
			s := &storm{
				policy: policy, death: death, seed: r.Seed,
				rate: 20, begin: 5 * time.Second, outage: 30 * time.Second, after: time.Minute,
			}
			if r.Quick {
				s.rate, s.begin, s.outage, s.after = 10, time.Second, 10*time.Second, 2*time.Second
			}
			s.sent = make([]atomic.Int64, seconds(s.end()+time.Minute))
			storms = append(storms, s)
		}
	}
	return bench.Each(ctx, storms, func(ctx context.Context, s *storm) (bench.Row, error) {
		r.Tell("%s, leaf %s", s.policy, deaths[s.death].variant)
		return s.run(ctx)
	})
}

func (s *storm) end() time.Duration { return s.begin + s.outage + s.after }

func (s *storm) run(ctx context.Context) (bench.Row, error) {
	var row bench.Row
	err := onNetwork("retry-storm", s.seed, func(n *transporttest.Network) {
		row = s.row(s.runOn(ctx, n))
	}, transporttest.WithRegistryTTL(time.Hour)) // leaf stays listed
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return row, err
}

// runOn makes the calls.
func (s *storm) runOn(ctx context.Context, n *transporttest.Network) *report.Report {
	s.serve(n, "leaf", func(*transporttest.Process) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "leaf") })
	})
	s.serve(n, "back", func(p *transporttest.Process) http.Handler { return s.counting(n, s.relay(p, "leaf")) })
	s.serve(n, "middle", func(p *transporttest.Process) http.Handler { return s.relay(p, "back") })
	s.serve(n, "front", func(p *transporttest.Process) http.Handler { return s.relay(p, "middle") })
	death := deaths[s.death]
	n.Fault(transporttest.Fault{Kind: death.kind, Status: death.status, On: "leaf", At: s.begin, For: s.outage})
	user := stopping(ctx, func(p *transporttest.Process) http.RoundTripper { return newRotation(p, "front") })
	return n.RunVia(user, load.Load{Client: "user", Service: "front", Rate: s.rate, For: s.end(), Timeout: 10 * time.Second})
}

func (s *storm) serve(n *transporttest.Network, service string, newHandler func(*transporttest.Process) http.Handler) {
	n.Serve(service, 3, newHandler, transporttest.WithPlainServer(s.policy != whole))
}

// relay answers with what the next service answers.
func (s *storm) relay(p *transporttest.Process, next string) http.Handler {
	client := s.client(p, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+next+"/", http.NoBody)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		resp, err := client.RoundTrip(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // what is missing, the caller notices
	})
}

func (s *storm) client(p *transporttest.Process, service string) http.RoundTripper {
	if s.policy == whole {
		return p.Client().Transport
	}
	return &persistent{next: newRotation(p, service), tries: triesAHop[s.policy], timeout: 2 * time.Second}
}

// persistent tries again after whatever failure, at once.
type persistent struct {
	next    http.RoundTripper
	tries   int
	timeout time.Duration // of one try
}

func (c *persistent) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	for range c.tries {
		resp, err = c.try(req)
		if err == nil && resp.StatusCode < 500 || req.Context().Err() != nil {
			break
		}
	}
	return resp, err
}

// try is one attempt with the whole body.
func (c *persistent) try(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), c.timeout)
	defer cancel()
	resp, err := c.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// counting counts the requests that next sends. Everything that is built on
// net/http asks for a connection for each.
func (s *storm) counting(n *transporttest.Network, next http.Handler) http.Handler {
	trace := &httptrace.ClientTrace{GetConn: func(string) { s.sent[seconds(n.Since())].Add(1) }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	})
}

func seconds(d time.Duration) int { return int(d / time.Second) }

// row sums up the outage.
func (s *storm) row(r *report.Report) bench.Row {
	end := s.begin + s.outage
	out := r.Between(s.begin, end)
	row := bench.Row{
		Policy: s.policy, Variant: deaths[s.death].variant,
		P50: bench.Ms(out.P50), P90: bench.Ms(out.P90), P99: bench.Ms(out.P99),
		AttemptsPerCall: s.perCall(r, s.begin, end),
		RecoveryS:       bench.Recovery(r, end, 0.99),
	}
	row.Add("first_5s", *s.perCall(r, s.begin, s.begin+5*time.Second))
	row.Add("late", *s.perCall(r, s.begin+s.outage/2, end))
	return row
}

// perCall is how many requests leaf was sent from one time to another for each
// call that began meanwhile. Both are whole seconds.
func (s *storm) perCall(r *report.Report, from, to time.Duration) *float64 {
	sent := int64(0)
	for i := seconds(from); i < seconds(to); i++ {
		sent += s.sent[i].Load()
	}
	return new(float64(sent) / float64(max(1, r.Between(from, to).Calls)))
}
