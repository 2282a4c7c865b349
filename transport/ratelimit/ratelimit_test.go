package ratelimit_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/ratelimit"
)

func newLimiter(t testing.TB, p ratelimit.Policy, opts ...ratelimit.Option) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.New(p, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })

// send asks h as a client at addr would.
func send(h http.Handler, addr string, header ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = addr
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// A client is granted its burst, then refused until more is due, and is told so
// each time.
func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimiter(t, ratelimit.Policy{Name: `a "b"`, Requests: 2, Window: 10 * time.Second, Burst: 3}).Handler(ok)
		for i, want := range []struct {
			after      time.Duration
			status     int
			limit      string
			retryAfter string
		}{
			{0, 200, `"a \"b\"";r=2;t=5`, ""},
			{0, 200, `"a \"b\"";r=1;t=5`, ""},
			{0, 200, `"a \"b\"";r=0;t=5`, ""},
			{0, 429, `"a \"b\"";r=0;t=5`, "5"},
			{3900 * time.Millisecond, 429, `"a \"b\"";r=0;t=2`, "2"},
			{1100 * time.Millisecond, 200, `"a \"b\"";r=0;t=5`, ""},
			{time.Hour, 200, `"a \"b\"";r=2;t=5`, ""},
		} {
			time.Sleep(want.after)
			resp := send(h, "192.0.2.1:1234")
			if resp.StatusCode != want.status || resp.Header.Get("RateLimit") != want.limit || resp.Header.Get("Retry-After") != want.retryAfter {
				t.Errorf("request %d: %d, RateLimit %s, Retry-After %q; want %+v", i, resp.StatusCode, resp.Header.Get("RateLimit"), resp.Header.Get("Retry-After"), want)
			}
			if got := resp.Header.Get("RateLimit-Policy"); got != `"a \"b\"";q=2;w=10` {
				t.Errorf("RateLimit-Policy %s", got)
			}
		}
		if resp := send(h, "192.0.2.2:1234"); resp.StatusCode != 200 {
			t.Errorf("another client: %d", resp.StatusCode)
		}
	})
}

func TestProblem(t *testing.T) {
	h := newLimiter(t, ratelimit.Policy{Requests: 1, Window: time.Hour}).Handler(ok)
	send(h, "192.0.2.1:1")
	resp := send(h, "192.0.2.1:1")
	body, _ := io.ReadAll(resp.Body)
	var p transport.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != 429 || p.Type != "https://iana.org/assignments/http-problem-types#quota-exceeded" || fmt.Sprint(p.Extra["violated-policies"]) != "[default]" {
		t.Errorf("got %+v", p)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %s", got)
	}
	r := httptest.NewRequest(http.MethodHead, "/", nil)
	r.RemoteAddr = "192.0.2.1:2"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 429 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
}

// Limiters that wrap each other each say what they have to say.
func TestNested(t *testing.T) {
	day := newLimiter(t, ratelimit.Policy{Name: "day", Requests: 1000, Window: 24 * time.Hour})
	burst := newLimiter(t, ratelimit.Policy{Name: "burst", Requests: 5})
	resp := send(day.Handler(burst.Handler(ok)), "192.0.2.1:1")
	if got := strings.Join(resp.Header.Values("RateLimit-Policy"), ", "); got != `"day";q=1000;w=86400, "burst";q=5;w=1` {
		t.Errorf("RateLimit-Policy %s", got)
	}
	if got := len(resp.Header.Values("RateLimit")); got != 2 {
		t.Errorf("%d items of RateLimit", got)
	}
}

// All clients together: who comes from where is no matter, and those who are
// refused at once are not told to be back at once.
func TestPerAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimiter(t, ratelimit.Policy{Requests: 10, Per: ratelimit.PerAll}).Handler(ok)
		told := map[string]int{}
		for i := range 1010 {
			resp := send(h, fmt.Sprintf("192.0.2.%d:1", i%250))
			if want := 429; i >= 10 && resp.StatusCode != want || i < 10 && resp.StatusCode != 200 {
				t.Fatalf("request %d: %d", i, resp.StatusCode)
			}
			if i == 3 && resp.Header.Get("RateLimit") != `"default";r=6;t=1` {
				t.Errorf("RateLimit %s", resp.Header.Get("RateLimit"))
			}
			told[resp.Header.Get("Retry-After")]++
		}
		if told["1"] < 300 || told["1"] > 700 || told["2"] < 300 || told["3"] > 200 || told["0"] != 0 {
			t.Errorf("told to come back after seconds: %v", told)
		}
		time.Sleep(time.Second)
		if resp := send(h, "192.0.2.1:1"); resp.StatusCode != 200 || resp.Header.Get("RateLimit") != `"default";r=9;t=1` {
			t.Errorf("a second later: %d, RateLimit %s", resp.StatusCode, resp.Header.Get("RateLimit"))
		}
	})
}

func TestCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cost := 0
		h := newLimiter(t, ratelimit.Policy{Requests: 10}, ratelimit.WithCost(func(*http.Request) int { return cost })).Handler(ok)
		for i, want := range []struct{ cost, status, remaining int }{
			{-5, 200, 10}, {0, 200, 10}, {4, 200, 6}, {7, 429, 6}, {6, 200, 0}, {0, 200, 0}, {1, 429, 0},
		} {
			cost = want.cost
			resp := send(h, "192.0.2.1:1")
			if left := fmt.Sprintf(";r=%d", want.remaining); resp.StatusCode != want.status || !strings.Contains(resp.Header.Get("RateLimit"), left) {
				t.Errorf("request %d: %d, %s; want %+v", i, resp.StatusCode, resp.Header.Get("RateLimit"), want)
			}
		}
		time.Sleep(time.Second)
		cost = 1_000_000 // is all there can be
		if resp := send(h, "192.0.2.1:1"); resp.StatusCode != 200 {
			t.Errorf("a request for more than the burst: %d", resp.StatusCode)
		}
		if resp := send(h, "192.0.2.1:1"); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("and another: %d, Retry-After %s", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	})
}

// A client that rotates X-Forwarded-For is one client, behind a proxy too.
func TestRotatingForwardedFor(t *testing.T) {
	for name, key := range map[string]func(*http.Request) string{
		"direct": ratelimit.RemoteAddr,
		"proxy":  ratelimit.ClientIP(netip.MustParsePrefix("10.0.0.0/8")),
	} {
		t.Run(name, func(t *testing.T) {
			h := newLimiter(t, ratelimit.Policy{Requests: 10, Window: time.Hour}, ratelimit.WithKey(key)).Handler(ok)
			granted := 0
			for i := range 1000 {
				forged := fmt.Sprintf("198.51.%d.%d", i/250, i%250)
				remote, header := "203.0.113.9:1", forged
				if name == "proxy" {
					remote, header = "10.0.0.1:1", forged+", 203.0.113.9"
				}
				if send(h, remote, "X-Forwarded-For", header, "X-Real-Ip", forged, "Forwarded", "for="+forged).StatusCode == 200 {
					granted++
				}
			}
			if granted != 10 {
				t.Errorf("%d requests granted, want 10", granted)
			}
		})
	}
}

// A million clients, all of them active, take less than 32 MiB, even where
// there is room for each.
func TestMillionClients(t *testing.T) {
	if testing.Short() {
		t.Skip("counts bytes, which the race detector changes")
	}
	for name, keys := range map[string]int{"default": 0, "a million": 1_000_000} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			l := newLimiter(t, ratelimit.Policy{Requests: 100, Window: time.Hour, Keys: keys})
			first := 0
			for i := range 1_000_000 {
				if l.Take(strconv.Itoa(i), 1).Allowed {
					first++
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			t.Logf("%.1f MiB for a million clients, %d of whose first requests were granted", float64(took)/(1<<20), first)
			if took > 32<<20 {
				t.Errorf("%d bytes, want less than 32 MiB", took)
			}
			if first < 990_000 {
				t.Errorf("%d of a million first requests granted", first)
			}
			runtime.KeepAlive(l)
		})
	}
}

// However many ask at once, no more is granted than the policy says.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that no time passes
		for _, per := range []string{ratelimit.PerClient, ratelimit.PerAll} {
			l := newLimiter(t, ratelimit.Policy{Requests: 100, Per: per})
			var granted atomic.Int64
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 100 {
						if l.Take("a", 1).Allowed {
							granted.Add(1)
						}
					}
				})
			}
			wg.Wait()
			if granted.Load() != 100 {
				t.Errorf("%s: %d granted, want 100", per, granted.Load())
			}
		}
	})
}

func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, per := range []string{ratelimit.PerClient, ratelimit.PerAll} {
			l := newLimiter(t, ratelimit.Policy{Requests: 10, Per: per})
			take := func() (granted int) {
				for range 50 {
					if l.Take("a", 1).Allowed {
						granted++
					}
				}
				return granted
			}
			take()
			if err := l.Update(ratelimit.Policy{Requests: -1, Per: per}); err == nil || l.Policy().Requests != 10 {
				t.Errorf("%s: a bad policy: %v, %+v", per, err, l.Policy())
			}
			if err := l.Update(ratelimit.Policy{Requests: 100, Burst: 15, Per: per}); err != nil {
				t.Fatal(err)
			}
			if n := take(); n > 5 {
				t.Errorf("%s: %d granted at once after 10 were used and the burst is 15", per, n)
			}
			time.Sleep(time.Second)
			if n := take(); n != 15 {
				t.Errorf("%s: %d granted a second later, want 15", per, n)
			}
		}
	})
}

// Under a transport.Server a refusal is one that its observers count, and no
// sign of how fast the server is.
func TestServerCountsRefusals(t *testing.T) {
	seen := &observer{}
	var decisions []ratelimit.Decision
	l := newLimiter(t, ratelimit.Policy{Requests: 1, Window: time.Hour}, ratelimit.WithObserver(func(_ *http.Request, d ratelimit.Decision) { decisions = append(decisions, d) }))
	s, err := transport.NewServer(l.Handler(ok), transport.WithServerObserver(seen))
	if err != nil {
		t.Fatal(err)
	}
	send(s, "192.0.2.1:1")
	if resp := send(s, "192.0.2.1:1", "X-Gabion-Criticality", "sheddable"); resp.StatusCode != 429 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if got, want := strings.Join(seen.shed, " "), "critical: sheddable:rate"; got != want {
		t.Errorf("observed %q, want %q", got, want)
	}
	if len(decisions) != 2 || !decisions[0].Allowed || decisions[1].Allowed || decisions[1].RetryAfter <= 0 {
		t.Errorf("decisions %+v", decisions)
	}
}

// What costs nothing is granted though a client is far ahead of a policy that
// has become stricter.
func TestFreeRequestsUnderAStricterPolicy(t *testing.T) {
	for _, per := range []string{ratelimit.PerClient, ratelimit.PerAll} {
		p := ratelimit.Policy{Requests: 1, Window: time.Minute, Burst: 100, Per: per}
		l, err := ratelimit.New(p)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			l.Take("a", 1)
		}
		p.Burst = 1
		if err := l.Update(p); err != nil {
			t.Fatal(err)
		}
		if d := l.Take("a", 0); !d.Allowed || d.RetryAfter != 0 {
			t.Errorf("per %s: %+v, want it granted", per, d)
		}
		if d := l.Take("a", 1); d.Allowed {
			t.Errorf("per %s: %+v, want it refused", per, d)
		}
	}
}
