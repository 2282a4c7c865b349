package transport_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
)

func TestLocalEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		calls := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls++
			switch r.URL.Path {
			case "/echo":
				b, _ := io.ReadAll(r.Body)
				w.Header().Set("X-Path", r.RequestURI)
				w.WriteHeader(201)
				fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, b)
			case "/flaky":
				if calls%2 == 1 {
					w.WriteHeader(503)
				}
			case "/panic":
				panic("here")
			case "/cut":
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			case "/stream":
				w.Header().Set("Trailer", "X-Sum")
				for i := range 3 {
					fmt.Fprintf(w, "%d", i)
					_ = http.NewResponseController(w).Flush()
					time.Sleep(time.Second)
				}
				w.Header().Set("X-Sum", "3")
			case "/forever":
				<-r.Context().Done()
			}
		})
		c := f.client(transport.WithLocal("pricing", h, 1))
		status, body, err := do(t.Context(), c, "POST", "http://pricing/echo?x=1", "hello", nil)
		if status != 201 || body != "POST pricing hello" {
			t.Errorf("got %d %q %v", status, body, err)
		}
		calls = 0
		if status, _, err := get(t.Context(), c, "http://pricing/flaky"); status != 200 || calls != 2 {
			t.Errorf("got %d %v after %d calls, want a retry to succeed", status, err, calls)
		}
		calls = 0
		if _, _, err := do(t.Context(), c, "POST", "http://pricing/panic", "x", nil); err == nil || calls != 1 {
			t.Errorf("got %v after %d calls, want one call and an error", err, calls)
		}
		if _, body, err := get(t.Context(), c, "http://pricing/cut"); err == nil {
			t.Errorf("a response that was cut off reads as %q", body)
		}

		resp, err := c.HTTPClient().Get("http://pricing/stream")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		first := make([]byte, 1)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "0" || time.Since(start) != 0 {
			t.Errorf("the first event %q came after %v", first, time.Since(start))
		}
		rest, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(rest) != "12" || resp.Trailer.Get("X-Sum") != "3" {
			t.Errorf("got %q %v %v", rest, resp.Trailer, err)
		}

		start = time.Now()
		if _, _, err := do(t.Context(), c, "POST", "http://pricing/forever", "", nil); !errors.Is(err, transport.ErrAttemptTimeout) {
			t.Errorf("got %v after %v, want the attempt's timeout", err, time.Since(start))
		}
		if n := c.Services()[0].Bulkhead.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestLocalAndRemoteShareTheTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", answer(200))
		local := 0
		c := f.client(transport.WithLocal("pricing", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			local++
			_, _ = io.Copy(w, strings.NewReader("OK"))
		}), 1))
		_, _, _ = get(t.Context(), c, "http://pricing/")
		time.Sleep(31 * time.Second) // the remote one came second, so it starts slowly
		for range 200 {
			if status, body, err := get(t.Context(), c, "http://pricing/"); status != 200 || body != "OK" {
				t.Fatalf("got %d %q %v", status, body, err)
			}
		}
		if local < 50 || f.hit("a:1") < 50 {
			t.Errorf("%d calls stayed here and %d went out, want both to get some", local, f.hit("a:1"))
		}
	})
}

// Calls move from one process to others by weight while it runs.
func TestLocalWeightChangesLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", answer(200))
		local := 0
		c := f.client(transport.WithLocal("pricing", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { local++ }), 9),
			transport.WithServicePolicy("pricing", transport.Policy{Balance: balance.Policy{Name: balance.RoundRobin, SlowStart: -1}}))
		stay := func(weight, want int) {
			t.Helper()
			if err := c.SetLocalWeight("pricing", weight); err != nil {
				t.Fatal(err)
			}
			local = 0
			for range 200 {
				if status, _, err := get(t.Context(), c, "http://pricing/"); status != 200 {
					t.Fatalf("got %d %v", status, err)
				}
			}
			if local < want-2 || local > want+2 {
				t.Errorf("with a weight of %d against 1, %d of 200 calls stay, want %d", weight, local, want)
			}
		}
		_, _, _ = get(t.Context(), c, "http://pricing/")
		synctest.Wait()
		stay(9, 180)
		stay(3, 150)
		stay(1, 100)
		stay(-1, 0)
		stay(0, 100)
		if err := c.SetLocalWeight("cart", 1); err == nil {
			t.Error("a service without a local handler has a weight")
		}
	})
}

// The weight can be set before the first call, too.
func TestLocalWeightBeforeTheFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("pricing", "a:1", answer(200))
		local := 0
		c := f.client(transport.WithLocal("pricing", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { local++ }), 1))
		if err := c.SetLocalWeight("pricing", -1); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if status, _, err := get(t.Context(), c, "http://pricing/"); status != 200 || local > 0 {
				t.Fatalf("got %d %v, %d calls stayed", status, err, local)
			}
		}
	})
}
