package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// attempts records the kinds and outcomes of attempts.
type attempts struct {
	mu    sync.Mutex
	kinds []string
	open  map[*transport.Call]int
}

func (o *attempts) StartCall(ctx context.Context, _ *transport.Call) context.Context { return ctx }

func (o *attempts) StartAttempt(ctx context.Context, c *transport.Call, _ *transport.Attempt) context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = map[*transport.Call]int{}
	}
	o.open[c]++
	return ctx
}

func (o *attempts) EndAttempt(_ context.Context, c *transport.Call, a *transport.Attempt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[c]--
	o.kinds = append(o.kinds, fmt.Sprintf("%v %v", a.Kind, a.Outcome))
}

func (o *attempts) EndCall(_ context.Context, c *transport.Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := o.open[c]; n != 0 {
		panic(fmt.Sprintf("%d attempts go on after their call", n))
	}
	delete(o.open, c)
}

func (o *attempts) StartService(transport.ServiceState) func() { return nil }

func (o *attempts) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	kinds := o.kinds
	o.kinds = nil
	slices.Sort(kinds)
	return kinds
}

func (o *attempts) hedges() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range o.kinds {
		if strings.HasPrefix(k, "hedge") {
			n++
		}
	}
	return n
}

// hedged is a fleet of three whose calls take 10 ms, warm enough to be hedged.
type hedged struct {
	*fleet
	client *transport.Client
	seen   *attempts
	first  http.HandlerFunc // what the next request to arrive is answered with
	second http.HandlerFunc // the one after
	third  http.HandlerFunc
	order  atomic.Int32
}

func newHedged(t *testing.T, instances int, policy transport.Policy) *hedged {
	f := &hedged{fleet: newFleet(t), seen: &attempts{}}
	normal := after(10 * time.Millisecond)
	for i := range instances {
		f.start("pricing", fmt.Sprintf("10.0.0.%d:80", i+1), func(w http.ResponseWriter, r *http.Request) {
			switch n := f.order.Add(1); {
			case n == 1 && f.first != nil:
				f.first(w, r)
			case n == 2 && f.second != nil:
				f.second(w, r)
			case n == 3 && f.third != nil:
				f.third(w, r)
			default:
				normal(w, r)
			}
		})
	}
	policy.Hedge.On = true
	f.client = f.fleet.client(transport.WithPolicy(policy), transport.WithObserver(f.seen))
	f.warm(500)
	return f
}

func (f *hedged) warm(n int) {
	f.t.Helper()
	f.first, f.second, f.third = nil, nil, nil
	for range n {
		if status, _, err := get(f.t.Context(), f.client, "http://pricing/"); err != nil || status != 200 {
			f.t.Fatal(status, err)
		}
	}
	if got := f.seen.hedges(); got != 0 {
		f.t.Fatalf("%d hedges of calls that all take the same time", got)
	}
	f.seen.take()
}

// next sets how the next two requests are answered.
func (f *hedged) next(first, second http.HandlerFunc) {
	f.first, f.second = first, second
	f.order.Store(0)
}

func TestHedge(t *testing.T) {
	late := after(400 * time.Millisecond)
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	fail := func(d time.Duration, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(d)
			w.WriteHeader(status)
		}
	}
	busy := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(transport.HeaderShed, "1")
		w.WriteHeader(503)
	}
	key := map[string]string{"Idempotency-Key": "k"}
	for name, tc := range map[string]struct {
		method        string
		header        map[string]string
		body          string
		instances     int // default 3
		policy        transport.Policy
		first, second http.HandlerFunc
		third         http.HandlerFunc
		kinds         []string
		took          time.Duration // to within the width of a bucket
	}{
		"the hedge wins": {
			first: late, kinds: []string{"first cancelled", "hedge success"}, took: 20 * time.Millisecond,
		},
		"the first wins after all": {
			first: after(15 * time.Millisecond), second: late,
			kinds: []string{"first success", "hedge cancelled"}, took: 15 * time.Millisecond,
		},
		"a hedge that fails fast does not win": {
			first: after(300 * time.Millisecond), second: fail(0, 503),
			kinds: []string{"first success", "hedge failure"}, took: 300 * time.Millisecond,
		},
		"a hedge that is refused does not win": {
			first: after(300 * time.Millisecond), second: busy,
			kinds: []string{"first success", "hedge rejected"}, took: 300 * time.Millisecond,
		},
		"a hedge that is put off does not win": {
			first: after(300 * time.Millisecond), second: fail(0, 429),
			kinds: []string{"first success", "hedge success"}, took: 300 * time.Millisecond,
		},
		"a hedge that breaks off does not win": { // net/http repeats requests without a body by itself
			method: "POST", header: key, body: "x", first: after(300 * time.Millisecond), second: abort,
			kinds: []string{"first success", "hedge failure"}, took: 300 * time.Millisecond,
		},
		"the first fails while the hedge goes on": {
			first: fail(20*time.Millisecond, 503), second: after(100 * time.Millisecond),
			kinds: []string{"first failure", "hedge success"}, took: 110 * time.Millisecond,
		},
		"the first fails before it is late": {
			first: fail(time.Millisecond, 503), kinds: []string{"first failure", "retry success"},
		},
		"both fail, and a retry follows": {
			first: fail(20*time.Millisecond, 503), second: fail(20*time.Millisecond, 503),
			kinds: []string{"first failure", "hedge failure", "retry success"},
		},
		"only one hedge": {
			instances: 6, policy: transport.Policy{Retry: retry.Policy{Attempts: 5}},
			first: fail(20*time.Millisecond, 503), second: fail(20*time.Millisecond, 503), third: after(200 * time.Millisecond),
			kinds: []string{"first failure", "hedge failure", "retry success"},
		},
		"by a route that says nothing of hedges": {
			policy: transport.Policy{Routes: map[string]transport.Route{"/": {Timeout: 4 * time.Second}}},
			first:  late, kinds: []string{"first cancelled", "hedge success"}, took: 20 * time.Millisecond,
		},
		"no retries, but a hedge": {
			policy: transport.Policy{Retry: retry.Policy{Attempts: 1}},
			first:  late, kinds: []string{"first cancelled", "hedge success"}, took: 20 * time.Millisecond,
		},
		"a write is not hedged": {
			method: "POST", body: "x", first: late, kinds: []string{"first success"}, took: 400 * time.Millisecond,
		},
		"a write with a key is": {
			method: "POST", header: key, body: "x", first: late,
			kinds: []string{"first cancelled", "hedge success"}, took: 20 * time.Millisecond,
		},
		"nobody else to ask": {
			instances: 1, first: late, kinds: []string{"first success"}, took: 400 * time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newHedged(t, max(1, tc.instances+3*btoi(tc.instances == 0)), tc.policy)
				var bodies sync.Map
				read := func(h http.HandlerFunc) http.HandlerFunc {
					if h == nil {
						h = after(10 * time.Millisecond)
					}
					return func(w http.ResponseWriter, r *http.Request) {
						b, _ := io.ReadAll(r.Body)
						bodies.Store(r.Header.Get(transport.HeaderAttempt), string(b))
						h(w, r)
					}
				}
				f.next(read(tc.first), read(tc.second))
				f.third = tc.third
				before := f.total()
				start := time.Now()
				status, _, err := do(t.Context(), f.client, orGet(tc.method), "http://pricing/", tc.body, tc.header)
				took := time.Since(start)
				if err != nil || status != 200 {
					t.Errorf("status %d, error %v", status, err)
				}
				if got := f.seen.take(); !slices.Equal(got, tc.kinds) {
					t.Errorf("attempts %q, want %q", got, tc.kinds)
				}
				if tc.took != 0 && (took < tc.took || took > tc.took+2*time.Millisecond) {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				if got, want := f.total()-before, len(tc.kinds); got != want {
					t.Errorf("%d requests, want %d", got, want)
				}
				bodies.Range(func(n, b any) bool {
					if b != tc.body {
						t.Errorf("attempt %v had the body %q, want %q", n, b, tc.body)
					}
					return true
				})
				idle(t, f.client)
			})
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func orGet(method string) string {
	if method == "" {
		return http.MethodGet
	}
	return method
}

// A server whose answer is not wanted any more is told so.
func TestHedgeCancelsTheLoser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newHedged(t, 3, transport.Policy{})
		ended := make(chan time.Time, 1)
		f.next(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended <- time.Now()
		}, nil)
		if _, _, err := get(t.Context(), f.client, "http://pricing/"); err != nil {
			t.Fatal(err)
		}
		answered := time.Now()
		if late := (<-ended).Sub(answered); late > time.Millisecond {
			t.Errorf("the loser was told %v after the answer", late)
		}
	})
}

// A caller that gives up ends both attempts.
func TestHedgeOfACallerWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newHedged(t, 3, transport.Policy{})
		f.next(after(time.Second), after(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, _, err := get(ctx, f.client, "http://pricing/")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the caller's deadline", err)
		}
		if got, want := f.seen.take(), []string{"first timeout", "hedge timeout"}; !slices.Equal(got, want) && !slices.Equal(got, []string{"first cancelled", "hedge timeout"}) && !slices.Equal(got, []string{"first timeout", "hedge cancelled"}) {
			t.Errorf("attempts %q, want %q", got, want)
		}
		idle(t, f.client)
	})
}

// What is not known is not hedged, nor what is in trouble.
func TestHedgeWhenNotTo(t *testing.T) {
	one := func(t *testing.T, f *hedged, h http.HandlerFunc) {
		t.Helper()
		f.next(h, nil)
		if _, _, err := get(t.Context(), f.client, "http://pricing/"); err != nil {
			t.Fatal(err)
		}
	}
	refuse := func(status int, name, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(name, value)
			w.WriteHeader(status)
		}
	}
	panics := func(f *hedged, percent int) {
		p := transport.Policy{Hedge: retry.Hedge{On: true}, Balance: balance.Policy{Ejection: balance.Ejection{PanicPercent: percent}}}
		if err := f.client.SetPolicy("", p); err != nil {
			f.t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, f *hedged)
		during  func(f *hedged) // once the call has come to a server
		header  map[string]string
		heal    func(f *hedged)
	}{
		"while it fails": {prepare: func(t *testing.T, f *hedged) {
			for range 6 { // each spends a token of ten
				one(t, f, answer(503))
			}
		}},
		"while it is busy": {prepare: func(t *testing.T, f *hedged) {
			one(t, f, refuse(503, transport.HeaderShed, "1"))
		}},
		"after too many requests": {prepare: func(t *testing.T, f *hedged) {
			one(t, f, answer(429))
		}},
		"as long as Retry-After says": {prepare: func(t *testing.T, f *hedged) {
			one(t, f, refuse(503, "Retry-After", "6")) // for which there is no time
			time.Sleep(4 * time.Second)
		}},
		"while most are gone": {
			prepare: func(t *testing.T, f *hedged) {
				panics(f, 100) // one is most
				f.kill("10.0.0.1:80")
				for !f.client.Services()[0].Balancer.Stats().Panic {
					one(t, f, nil)
				}
			},
			heal: func(f *hedged) { panics(f, 0) },
		},
		"while the circuit is not closed": {
			during: func(f *hedged) { f.client.Services()[0].Breaker.Force(breaker.ModeOpen) },
			heal:   func(f *hedged) { f.client.Services()[0].Breaker.Force(breaker.ModeAuto) },
		},
		"what is to be upgraded": {header: map[string]string{"Connection": "Upgrade", "Upgrade": "websocket"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newHedged(t, 3, transport.Policy{})
				if tc.prepare != nil {
					tc.prepare(t, f)
				}
				f.seen.take()
				f.next(func(w http.ResponseWriter, r *http.Request) {
					if tc.during != nil {
						tc.during(f)
					}
					after(400*time.Millisecond)(w, r)
				}, nil)
				if _, _, err := do(t.Context(), f.client, http.MethodGet, "http://pricing/", "", tc.header); err != nil {
					t.Fatal(err)
				}
				if got := f.seen.take(); !slices.Equal(got, []string{"first success"}) {
					t.Errorf("attempts %q, want the first alone", got)
				}
				if tc.heal != nil {
					tc.heal(f)
				}
				time.Sleep(15 * time.Second) // successes refill the budget meanwhile
				f.warm(100)
				one(t, f, after(400*time.Millisecond))
				if got := f.seen.hedges(); got != 1 {
					t.Errorf("%d hedges once it was well again, want 1", got)
				}
			})
		})
	}
}

func TestHedgeColdClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		seen := &attempts{}
		for i := range 3 {
			f.start("pricing", fmt.Sprintf("10.0.0.%d:80", i+1), after(10*time.Millisecond))
		}
		f.start("pricing", "10.0.0.9:80", after(300*time.Millisecond))
		c := f.client(transport.WithPolicy(transport.Policy{Hedge: retry.Hedge{On: true}}), transport.WithObserver(seen))
		for range 99 {
			if _, _, err := get(t.Context(), c, "http://pricing/"); err != nil {
				t.Fatal(err)
			}
		}
		if got := seen.hedges(); got != 0 {
			t.Errorf("%d hedges among the first 99 calls", got)
		}
	})
}

// When everything becomes slower at once, hedges stay within their share at
// every moment.
func TestHedgeShareWhenAllIsSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		seen := &attempts{}
		var took atomic.Int64 // more from call to call, so that what was measured is always too little
		took.Store(int64(10 * time.Millisecond))
		for i := range 5 {
			f.start("pricing", fmt.Sprintf("10.0.0.%d:80", i+1), func(w http.ResponseWriter, r *http.Request) {
				after(time.Duration(took.Load()))(w, r)
			})
		}
		c := f.client(transport.WithPolicy(transport.Policy{Hedge: retry.Hedge{On: true}}), transport.WithObserver(seen))
		calls := 0
		for second := range 20 {
			var wg sync.WaitGroup
			for range 200 {
				wg.Go(func() { _, _, _ = get(t.Context(), c, "http://pricing/") })
				calls++
				if second >= 5 {
					took.Add(int64(200 * time.Microsecond))
				}
				time.Sleep(5 * time.Millisecond)
			}
			wg.Wait()
			if n := seen.hedges(); float64(n) > 0.02*float64(calls) {
				t.Errorf("%d hedges of %d calls after %d s, want at most 2 %%", n, calls, second+1)
			}
		}
		if seen.hedges() == 0 {
			t.Error("there was no hedge at all")
		}
	})
}

// A route that gets a way to hedge of its own leaves the service's alone.
func TestRoutesGetHedgersOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newHedged(t, 3, transport.Policy{Routes: map[string]transport.Route{"GET /own": {Timeout: time.Second}}})
		own := retry.Hedge{On: true, MinDelay: time.Second}
		err := f.client.SetPolicy("", transport.Policy{
			Hedge: retry.Hedge{On: true}, Routes: map[string]transport.Route{"GET /own": {Hedge: &own}},
		})
		if err != nil {
			t.Fatal(err)
		}
		f.next(after(400*time.Millisecond), nil)
		if _, _, err := get(t.Context(), f.client, "http://pricing/"); err != nil {
			t.Fatal(err)
		}
		if got := f.seen.hedges(); got != 1 {
			t.Errorf("%d hedges beside the route, want 1", got)
		}
	})
}

// Where a throttle has taken the circuit's place, it is the throttle that says
// whether the service is well: the circuit hears no more of it.
func TestHedgeBehindAThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newHedged(t, 3, transport.Policy{})
		f.client.Services()[0].Breaker.Force(breaker.ModeOpen)
		err := f.client.SetPolicy("", transport.Policy{
			Hedge: retry.Hedge{On: true}, Throttle: limit.ThrottlePolicy{On: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		hedges := func() int {
			synctest.Wait() // for the handler of the attempt that was overtaken
			f.next(after(400*time.Millisecond), nil)
			for {
				_, _, err := get(t.Context(), f.client, "http://pricing/")
				if err == nil {
					break
				}
				if !errors.Is(err, limit.ErrThrottled) {
					t.Fatal(err)
				}
			}
			defer f.seen.take()
			return f.seen.hedges()
		}
		if got := hedges(); got != 1 {
			t.Errorf("%d hedges while nothing is held back, want 1", got)
		}
		for range 10 {
			f.client.Services()[0].Throttle.Done(false)
		}
		if got := hedges(); got != 0 {
			t.Errorf("%d hedges while calls are held back, want none", got)
		}
	})
}

// What is to spare goes to hedges at once; the rest is kept for those calls that
// are still late at the second moment.
func TestHedgeAtTheSecondMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newHedged(t, 3, transport.Policy{Hedge: retry.Hedge{Share: 0.002}}) // 500 calls have saved up one
		f.next(after(400*time.Millisecond), nil)
		if _, _, err := get(t.Context(), f.client, "http://pricing/"); err != nil {
			t.Fatal(err)
		}
		if got := f.seen.hedges(); got != 1 {
			t.Errorf("%d hedges, want 1", got)
		}
	})
}

// Calls that were overtaken count as late as they had become: without them the
// rest would look faster than calls are, and ever more of them late.
func TestHedgeMeasuresTheOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newHedged(t, 3, transport.Policy{
			Hedge: retry.Hedge{Share: 0.5}, Retry: retry.Policy{Budget: retry.BudgetPolicy{PerSuccess: 2}},
		})
		call := func(first http.HandlerFunc) {
			synctest.Wait() // for the handler of an attempt that was overtaken
			f.next(first, nil)
			if _, _, err := get(t.Context(), f.client, "http://pricing/"); err != nil {
				t.Fatal(err)
			}
		}
		for range 45 { // one call in twelve is late
			call(after(400 * time.Millisecond))
			call(nil)
		}
		if got := f.seen.hedges(); got != 45 {
			t.Fatalf("%d hedges, want 45", got)
		}
		f.seen.take()
		call(after(15 * time.Millisecond))
		if got := f.seen.hedges(); got != 0 {
			t.Errorf("%d hedges of a call that is not among the slowest twentieth, want none", got)
		}
	})
}

// What can be sent only once is not sent twice, whatever its key says, and
// hedges are paid for as retries are.
func TestHedgeWhatCanBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newHedged(t, 3, transport.Policy{})
		f.next(after(400*time.Millisecond), nil)
		body := io.NopCloser(strings.NewReader("once")) // which net/http cannot make again
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://pricing/", body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := f.client.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := f.seen.hedges(); got != 0 {
			t.Errorf("%d hedges of a body that can be read once", got)
		}
		budget := f.client.Services()[0].Budget
		before := budget.Tokens()
		f.next(after(400*time.Millisecond), nil)
		if _, _, err := get(t.Context(), f.client, "http://pricing/"); err != nil {
			t.Fatal(err)
		}
		if hedges, paid := f.seen.hedges(), before-budget.Tokens(); hedges != 1 || paid < 0.8 {
			t.Errorf("%d hedges for %v tokens, want 1 for about one", hedges, paid)
		}
	})
}

// A panic in an attempt that may be hedged is the caller's to see, as any other.
func TestPanicsInARace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newHedged(t, 3, transport.Policy{Retry: retry.Policy{Attempts: 1}})
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(string) { panic("boom") }})
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("recovered %v, want boom", v)
				}
			}()
			_, _, _ = get(ctx, f.client, "http://pricing/")
		}()
		synctest.Wait()
		idle(t, f.client)
	})
}
