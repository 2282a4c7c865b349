package transport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
)

// rescues is an observer that notes what fallbacks did, and puts on every
// request what must not go to just anybody.
type rescues struct {
	hooks
	mu   sync.Mutex
	seen []string
}

func (r *rescues) StartAttempt(ctx context.Context, _ *transport.Call, a *transport.Attempt) context.Context {
	a.Header.Set("Baggage", "user=1")
	a.Header.Set("Traceparent", "00-1")
	return ctx
}

func (r *rescues) Fallback(e transport.FallbackEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, e.Service+" "+e.Kind.String()+" "+e.Outcome.String())
}

func (r *rescues) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.seen = nil }()
	return strings.Join(r.seen, ", ")
}

// ask makes a GET and returns status, header and body, or the error's text.
func ask(t *testing.T, c *transport.Client, url string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	if resp.Request != req {
		t.Error("the response is of another request")
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func TestFallbackKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var down, otherDown atomic.Bool
		f.start("pricing", "a:1", func(w http.ResponseWriter, _ *http.Request) {
			if down.Load() {
				w.WriteHeader(500)
				return
			}
			fmt.Fprint(w, "fresh")
		})
		f.start("catalogue", "b:1", func(w http.ResponseWriter, _ *http.Request) {
			if otherDown.Load() {
				w.WriteHeader(500)
				return
			}
			fmt.Fprint(w, "theirs")
		})
		seen := &rescues{}
		var function func() (*http.Response, error)
		c := f.client(transport.WithObserver(seen), transport.WithObserver(&hooks{}),
			transport.WithFallback("pricing", func(context.Context, *http.Request, error) (*http.Response, error) { return function() }),
			transport.WithServicePolicy("pricing", transport.Policy{Fallback: transport.Fallback{
				LastGood: time.Minute, Service: "catalogue", Value: &transport.FallbackValue{Body: json.RawMessage(`{"price":1}`)},
			}}))
		none := func() (*http.Response, error) { return nil, errors.New("no idea") }
		function = none
		check := func(what, url, body, mark, events string) {
			t.Helper()
			status, h, got := ask(t, c, url)
			if status != 200 || got != body || h.Get(transport.HeaderFallback) != mark {
				t.Errorf("%s: got %d %q marked %q, want %q marked %q", what, status, got, h.Get(transport.HeaderFallback), body, mark)
			}
			if got := seen.take(); got != events {
				t.Errorf("%s: events %q, want %q", what, got, events)
			}
		}
		check("well", "http://pricing/1", "fresh", "", "")
		down.Store(true)
		check("remembered", "http://pricing/1", "fresh", "last_good", "pricing function failed, pricing last_good answered")
		check("not remembered", "http://pricing/2", "theirs", "service",
			"pricing function failed, pricing last_good missing, pricing service answered")
		otherDown.Store(true)
		check("nobody", "http://pricing/2", `{"price":1}`, "value",
			"pricing function failed, pricing last_good missing, pricing service failed, pricing value answered")
		time.Sleep(time.Minute + time.Second)
		check("too old", "http://pricing/1", `{"price":1}`, "value",
			"pricing function failed, pricing last_good missing, pricing service failed, pricing value answered")
		function = func() (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}}, nil
		}
		check("function", "http://pricing/1", "", "", "pricing function answered")

		// A failed write looks like one.
		function = none
		status, body, err := do(t.Context(), c, http.MethodPost, "http://pricing/1", "x", nil)
		if status != 500 || body != "" || err != nil {
			t.Errorf("POST: got %d %q %v, want the service's own answer", status, body, err)
		}
		if got, want := seen.take(), "pricing function failed"; got != want {
			t.Errorf("POST: events %q, want %q", got, want)
		}
	})
}

// What a fallback answers does not count as the service's success.
func TestFallbacksDoNotHealTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", answer(500))
		c := f.client(transport.WithPolicy(transport.Policy{Fallback: transport.Fallback{Value: &transport.FallbackValue{Status: 203, Text: "so so"}}}))
		for range 20 {
			if status, h, body := ask(t, c, "http://pricing/"); status != 203 || body != "so so" || h.Get("Content-Type") != "text/plain; charset=utf-8" ||
				h.Get("X-Content-Type-Options") != "nosniff" {
				t.Fatalf("got %d %q %v", status, body, h)
			}
		}
		if s := c.Services()[0]; s.Breaker.State() != breaker.Open || f.total() != 10 {
			t.Errorf("circuit %v after %d requests, want open after 10", s.Breaker.State(), f.total())
		}
	})
}

func TestLastGoodIsTheCallersOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		first, then []string // header of the request
		answer      []string // header of the response
		want        bool
	}{
		"same":              {first: []string{"Authorization", "a"}, then: []string{"Authorization", "a", "X-Request-Id", "2", "Traceparent", "x"}, want: true},
		"another user":      {first: []string{"Authorization", "a"}, then: []string{"Authorization", "b"}},
		"nobody":            {first: []string{"Authorization", "a"}},
		"another cookie":    {first: []string{"Cookie", "a=1"}, then: []string{"Cookie", "a=2"}},
		"another tenant":    {first: []string{"X-Tenant", "a"}, then: []string{"X-Tenant", "b"}},
		"another language":  {first: []string{"Accept-Language", "de"}, then: []string{"Accept-Language", "en"}},
		"sets a cookie":     {answer: []string{"Set-Cookie", "a=b"}},
		"no-store":          {answer: []string{"Cache-Control", "no-store"}},
		"varies by all":     {answer: []string{"Vary", "*"}},
		"private, stranger": {answer: []string{"Cache-Control", "private"}},
		"private":           {first: []string{"Cookie", "a=1"}, then: []string{"Cookie", "a=1"}, answer: []string{"Cache-Control", "private"}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				down := false
				f.start("pricing", "a:1", func(w http.ResponseWriter, _ *http.Request) {
					if down {
						w.WriteHeader(500)
						return
					}
					for i := 0; i < len(tc.answer); i += 2 {
						w.Header().Set(tc.answer[i], tc.answer[i+1])
					}
					w.Header().Set("Age", "7")
					fmt.Fprint(w, "fresh")
				})
				c := f.client(transport.WithPolicy(transport.Policy{Fallback: transport.Fallback{LastGood: time.Minute}}))
				ask(t, c, "http://pricing/", tc.first...)
				down = true
				time.Sleep(10 * time.Second)
				status, h, body := ask(t, c, "http://pricing/", tc.then...)
				if got := status == 200 && body == "fresh"; got != tc.want {
					t.Errorf("got %d %q", status, body)
				}
				if tc.want && (h.Get("Age") != "17" || h.Get(transport.HeaderFallback) != "last_good") {
					t.Errorf("header %v, want its age and a mark", h)
				}
			})
		})
	}
}

// What was not read to its end is not remembered, nor what is more than header
// and body.
func TestLastGoodIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		down := false
		f.start("pricing", "a:1", func(w http.ResponseWriter, r *http.Request) {
			switch {
			case down:
				w.WriteHeader(500)
			case r.URL.Path == "/broken":
				w.Header().Set("Content-Length", "100000")
				fmt.Fprint(w, "some")
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			case r.URL.Path == "/trailer":
				w.Header().Set("Trailer", "X-Sum")
				fmt.Fprint(w, "some")
				w.Header().Set("X-Sum", "7")
			case r.URL.Path == "/surprise":
				fmt.Fprint(w, "some")
				http.NewResponseController(w).Flush()
				w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
			case r.URL.Path == "/large":
				w.Write(make([]byte, 256<<10+1))
			case r.URL.Path == "/empty":
				w.WriteHeader(204)
			default:
				w.Header().Set("Content-Length", "10000")
				w.Write(make([]byte, 10_000))
			}
		})
		c := f.client(transport.WithPolicy(transport.Policy{Fallback: transport.Fallback{LastGood: time.Minute}}))
		client := c.HTTPClient()
		read := map[string]int64{"/broken": 1 << 20, "/large": 1 << 20, "/trailer": 1 << 20, "/surprise": 1 << 20, "/part": 5000, "/whole": 10_000, "/empty": 0}
		for path, n := range read {
			resp, err := client.Get("http://pricing" + path)
			if err != nil {
				t.Fatal(err)
			}
			io.CopyN(io.Discard, resp.Body, n)
			resp.Body.Close()
		}
		down = true
		var got []string
		for path := range read {
			if status, _, _ := ask(t, c, "http://pricing"+path); status < 300 {
				got = append(got, path)
			}
		}
		if slices.Sort(got); !slices.Equal(got, []string{"/empty", "/whole"}) {
			t.Errorf("remembered %v", got)
		}
	})
}

// Another service gets nothing that is not on the list: no credentials, and no
// baggage that an observer puts there.
func TestFallbackServiceGetsAnAllowList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", answer(500))
		var got *http.Request
		f.start("catalogue", "b:1", func(_ http.ResponseWriter, r *http.Request) { got = r })
		c := f.client(transport.WithObserver(&rescues{}), transport.WithPolicy(transport.Policy{
			Timeout: 3 * time.Second, Fallback: transport.Fallback{Service: "catalogue"},
		}))
		ask(t, c, "http://user:secret@pricing/v1?q=1", "Authorization", "Bearer x", "Proxy-Authorization", "x", "Cookie", "a=b", "X-Api-Key", "k",
			"X-User", "1", "Baggage", "a=b", "Forwarded", "for=1.2.3.4", "Idempotency-Key", "k", "If-None-Match", `"a"`, "x-lower", "1",
			"Accept", "application/json", "X-Request-Id", "r1", "User-Agent", "shop")
		if got == nil {
			t.Fatal("it was not asked")
		}
		names := []string{}
		for name := range got.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		want := []string{"Accept", "Traceparent", "User-Agent", "X-Envoy-Attempt-Count", transport.HeaderTimeout, "X-Request-Id"}
		if !slices.Equal(names, want) {
			t.Errorf("header fields %v, want %v", names, want)
		}
		if got.Host != "catalogue" || got.URL.RequestURI() != "/v1?q=1" || got.Header.Get("Accept") != "application/json" {
			t.Errorf("asked %s %s %v", got.Host, got.URL, got.Header)
		}
	})
}

// The other service has what the call has left, and no fallback of its own.
func TestFallbackServiceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(600 * time.Millisecond)
			w.WriteHeader(500)
		})
		f.start("catalogue", "b:1", after(time.Hour))
		seen := &rescues{}
		c := f.client(transport.WithObserver(seen),
			transport.WithServicePolicy("pricing", transport.Policy{Timeout: time.Second, Fallback: transport.Fallback{Service: "catalogue"}}),
			transport.WithServicePolicy("catalogue", transport.Policy{Timeout: time.Minute, Fallback: transport.Fallback{Service: "pricing"}}))
		start := time.Now()
		status, _, body := ask(t, c, "http://pricing/")
		if took := time.Since(start); status != 500 || took < 990*time.Millisecond || took > time.Second {
			t.Errorf("got %d %q after %v, want the first answer after the call's time of 1s", status, body, time.Since(start))
		}
		if got, want := seen.take(), "pricing service failed"; got != want || f.hit("a:1") != 1 {
			t.Errorf("events %q and %d requests, want %q and one", got, f.hit("a:1"), want)
		}
	})
}

func TestFallbacksAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", answer(500))
		seen := &rescues{}
		running, most := atomic.Int64{}, atomic.Int64{}
		c := f.client(transport.WithObserver(seen),
			transport.WithPolicy(transport.Policy{Fallback: transport.Fallback{MaxInFlight: 3}, Breaker: breaker.Settings{Consecutive: 100, MinCalls: 100}}),
			transport.WithFallback("", func(context.Context, *http.Request, error) (*http.Response, error) {
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				time.Sleep(time.Second)
				return &http.Response{StatusCode: 200, Header: http.Header{}}, nil
			}))
		var wg sync.WaitGroup
		statuses := make([]int, 10)
		for i := range statuses {
			wg.Go(func() { statuses[i], _, _ = ask(t, c, "http://pricing/") })
		}
		wg.Wait()
		good := 0
		for _, s := range statuses {
			if s == 200 {
				good++
			} else if s != 500 {
				t.Errorf("status %d", s)
			}
		}
		events := seen.take()
		if good != 3 || most.Load() != 3 || strings.Count(events, "function refused") != 7 {
			t.Errorf("%d answers, %d at once, events %s", good, most.Load(), events)
		}
		if status, _, _ := ask(t, c, "http://pricing/"); status != 200 {
			t.Error("the places were not given back")
		}
	})
}

func TestNoFallbackForWhoHasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", after(time.Hour))
		seen := &rescues{}
		c := f.client(transport.WithObserver(seen), transport.WithPolicy(transport.Policy{Fallback: transport.Fallback{Value: &transport.FallbackValue{}}}))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, _, err := get(ctx, c, "http://pricing/"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		f.start("deaf", "b:1", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Hour) })
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := get(ctx, c, "http://deaf/"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Hour)
		if got := seen.take(); got != "" {
			t.Errorf("events %q", got)
		}
	})
}

// A caller who gives up while one substitute is tried gets no other.
func TestNoFurtherFallbackForWhoHasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", answer(500))
		ctx, cancel := context.WithCancel(t.Context())
		down := errors.New("down")
		seen := &rescues{}
		c := f.client(transport.WithObserver(seen),
			transport.WithPolicy(transport.Policy{Fallback: transport.Fallback{Value: &transport.FallbackValue{}}}),
			transport.WithFallback("", func(context.Context, *http.Request, error) (*http.Response, error) {
				cancel()
				return nil, down
			}))
		if status, _, _ := get(ctx, c, "http://pricing/"); status == 200 {
			t.Error("there was an answer nobody waits for")
		}
		if got := seen.take(); strings.Contains(got, "value") {
			t.Errorf("events %q", got)
		}
	})
}

func TestRoutesHaveFallbacksOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", answer(500))
		c := f.client(transport.WithPolicy(transport.Policy{
			Fallback: transport.Fallback{Value: &transport.FallbackValue{Text: "service"}},
			Routes: map[string]transport.Route{
				"GET /own":  {Fallback: &transport.Fallback{Value: &transport.FallbackValue{Text: "route"}}},
				"GET /none": {Fallback: &transport.Fallback{}},
			},
		}))
		for path, want := range map[string]string{"/": "service", "/own": "route", "/none": "Internal Server Error"} {
			if _, _, got := ask(t, c, "http://pricing"+path); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
	})
}

func TestFallbackJSON(t *testing.T) {
	text := `{"last_good":"5m0s","service":"catalogue","value":{"status":203,"content_type":"application/x","body":{"a":[1,2]}},"max_in_flight":3}`
	var f transport.Fallback
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatal(err)
	}
	if err := f.Validate(); err != nil {
		t.Error(err)
	}
	back, err := json.Marshal(f)
	if err != nil || string(back) != text {
		t.Errorf("got %s, %v", back, err)
	}
	before := f
	if err := json.Unmarshal([]byte(`{"value":{"status":200}}`), &f); err != nil {
		t.Fatal(err)
	}
	if f.Value.Status != 200 || !bytes.Equal(f.Value.Body, before.Value.Body) || f.LastGood != before.LastGood || before.Value.Status != 203 {
		t.Errorf("got %+v beside %+v", f.Value, before.Value)
	}
	var p transport.Policy
	if err := json.Unmarshal([]byte(`{"fallback":`+text+`,"routes":{"GET /":{"fallback":{},"coalesce":true,"cache":true}}}`), &p); err != nil {
		t.Fatal(err)
	}
	r := p.Routes["GET /"]
	if !reflect.DeepEqual(p.Fallback, before) || r.Fallback == nil || !r.Fallback.IsZero() || !r.Coalesce || !r.Cache {
		t.Errorf("got %+v", p)
	}
	for _, bad := range []string{`{"lastgood":"1s"}`, `{"last_good":1}`, `{"value":{"code":1}}`} {
		if err := json.Unmarshal([]byte(bad), &f); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestFallbackValidate(t *testing.T) {
	f := transport.Fallback{
		LastGood: -1, Service: "no such/name", MaxInFlight: -1,
		Value: &transport.FallbackValue{Status: 99, Body: json.RawMessage("{"), Text: "x"},
	}
	err := transport.Policy{Fallback: f}.Validate()
	for _, want := range []string{"last_good", "service", "max_in_flight", "value.status", "value.body", "both body and text"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if err := (transport.Policy{Routes: map[string]transport.Route{"GET /": {Fallback: &f}}}).Validate(); err == nil {
		t.Error("a route's is not validated")
	}
}
