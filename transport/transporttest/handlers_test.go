package transporttest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// wordy answers 10,000 bytes, in pieces.
func wordy(*transporttest.Process) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 10 {
			io.WriteString(w, strings.Repeat("x", 1000))
		}
	})
}

// Each fault of handlers lasts from second 1 to second 3, on one of two
// replicas.
func TestHandlerFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault transporttest.Fault
		check func(p protocol, got answer) bool
		want  string
	}{
		"slow": {
			transporttest.Fault{Kind: transporttest.Slow, Latency: dist.Constant(300 * time.Millisecond)},
			func(_ protocol, got answer) bool {
				return got.status == http.StatusOK && got.took == 300*time.Millisecond+2*hop
			},
			"a 200 after 320ms",
		},
		"status": {
			transporttest.Fault{Kind: transporttest.Status, Status: http.StatusTeapot},
			func(_ protocol, got answer) bool {
				return got.status == http.StatusTeapot && got.took == 2*hop && !strings.Contains(got.body, "x")
			},
			"a 418 after 20ms",
		},
		"panic": {
			transporttest.Fault{Kind: transporttest.Panic},
			func(p protocol, got answer) bool {
				if p.gabion {
					return got.status == http.StatusInternalServerError
				}
				return got.err != nil && (p.http2 || errors.Is(got.err, io.EOF))
			},
			"EOF, or a 500 from gabion's server",
		},
		"cut": {
			transporttest.Fault{Kind: transporttest.Cut, Bytes: 2500},
			func(p protocol, got answer) bool {
				return got.status == http.StatusOK && len(got.body) == 2500 && got.err != nil && (p.http2 || errors.Is(got.err, io.ErrUnexpectedEOF))
			},
			"a 200 with 2500 bytes and an unexpected EOF",
		},
		"cut at once": {
			transporttest.Fault{Kind: transporttest.Cut},
			func(p protocol, got answer) bool {
				return got.status == http.StatusOK && got.body == "" && got.err != nil && (p.http2 || errors.Is(got.err, io.ErrUnexpectedEOF))
			},
			"a 200 without a body and an unexpected EOF",
		},
		"cut behind the end": {
			transporttest.Fault{Kind: transporttest.Cut, Bytes: 10_000},
			func(_ protocol, got answer) bool { return got.err == nil && len(got.body) == 10_000 },
			"the whole body",
		},
	} {
		for _, gabion := range []bool{false, true} {
			for _, p := range protocols {
				p.gabion = gabion
				t.Run(fmt.Sprintf("%s %s gabion %v", name, p.name, gabion), func(t *testing.T) {
					transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
						p.serve(n, "server", 2, wordy)
						client := p.client(t, n.Host("client").Process())
						fault := c.fault
						fault.On, fault.At, fault.For = "server-1", time.Second, 2*time.Second
						n.Fault(fault)
						call(client, "http://server-1/", time.Minute).good(t, "before", 4*hop)
						call(client, "http://server-2/", time.Minute).good(t, "before", 4*hop)
						time.Sleep(2 * time.Second)
						if got := do(client, http.MethodPost, "http://server-1/", "x", time.Minute); !c.check(p, got) {
							t.Errorf("during: got %v (%d bytes, error %v), want %s", got, len(got.body), got.err, c.want)
						}
						call(client, "http://server-2/", time.Minute).good(t, "elsewhere", 2*hop)
						time.Sleep(2 * time.Second)
						if got := call(client, "http://server-1/", time.Minute); got.err != nil || len(got.body) != 10_000 {
							t.Errorf("after: got %v", got)
						}
					}, exact)
				})
			}
		}
	}
}

// A fault with a probability falls upon that share of the requests.
func TestHandlerProbability(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, hello)
		c := n.Host("client").Process().PlainClient()
		n.Fault(
			transporttest.Fault{Kind: transporttest.Status, Status: 503, On: "server", Probability: 0.2},
			transporttest.Fault{Kind: transporttest.Slow, Latency: dist.Uniform(time.Second, 3*time.Second), On: "server", Probability: 0.1},
		)
		time.Sleep(time.Millisecond)
		const total = 2000
		failed, slow, slowness := 0, 0, time.Duration(0)
		for range total {
			got := call(c, "http://server-1/", time.Minute)
			if got.status == 503 {
				failed++
			}
			if got.status == 200 && got.took >= time.Second {
				slow++
				slowness += got.took
			}
		}
		if failed < 340 || failed > 460 {
			t.Errorf("%d of %d requests failed, want 400", failed, total)
		}
		if slow < 120 || slow > 200 {
			t.Errorf("%d of %d requests were slow, want 160", slow, total)
		}
		if mean := slowness / time.Duration(slow); mean < 1800*time.Millisecond || mean > 2200*time.Millisecond {
			t.Errorf("slow requests took %v on average, want 2s", mean)
		}
	})
}

// Two requests are served at a time, each for a second.
func TestQueue(t *testing.T) {
	for name, c := range map[string]struct {
		backlog int
		callers int
		want    map[string]int // how many calls, by status and seconds
	}{
		"none waits":   {backlog: 0, callers: 5, want: map[string]int{"200 1s": 2, "503 0s": 3}},
		"three wait":   {backlog: 3, callers: 7, want: map[string]int{"200 1s": 2, "200 2s": 2, "200 3s": 1, "503 0s": 2}},
		"any may wait": {backlog: -1, callers: 20, want: map[string]int{"200 1s": 2, "200 2s": 2, "200 3s": 2, "200 4s": 2, "200 5s": 2, "200 6s": 2, "200 7s": 2, "200 8s": 2, "200 9s": 2, "200 10s": 2}},
	} {
		for _, p := range protocols {
			t.Run(name+" "+p.name, func(t *testing.T) {
				transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
					p.serve(n, "server", 1, patient)
					client := p.client(t, n.Host("client").Process())
					n.Fault(transporttest.Fault{Kind: transporttest.Queue, On: "server", Workers: 2, Backlog: c.backlog, At: time.Second, For: time.Minute})
					all := func() map[string]int {
						var mu sync.Mutex
						var wg sync.WaitGroup
						got := map[string]int{}
						for range c.callers {
							wg.Go(func() {
								a := call(client, "http://server-1/?for=1s", time.Hour)
								mu.Lock()
								defer mu.Unlock()
								got[fmt.Sprint(a.status, " ", a.took.Truncate(time.Second))]++
							})
						}
						wg.Wait()
						return got
					}
					if got := all(); got["200 1s"] != c.callers {
						t.Errorf("before: got %v", got)
					}
					time.Sleep(time.Second)
					if got := all(); fmt.Sprint(got) != fmt.Sprint(c.want) {
						t.Errorf("during: got %v, want %v", got, c.want)
					}
					time.Sleep(time.Minute)
					if got := all(); got["200 1s"] != c.callers {
						t.Errorf("after: got %v", got)
					}
				}, exact)
			})
		}
	}
}

// A caller who gives up leaves the queue; the end of the fault lets all in.
func TestQueueIsLeft(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, patient, transporttest.WithPlainServer(true))
		c := n.Host("client").Process().PlainClient()
		n.Fault(transporttest.Fault{Kind: transporttest.Queue, On: "server", Workers: 1, Backlog: 1, At: time.Second, For: 20 * time.Second})
		time.Sleep(1500 * time.Millisecond)
		var wg sync.WaitGroup
		wg.Go(func() { call(c, "http://server-1/?for=10s", time.Minute).good(t, "first", 10*time.Second+4*hop) })
		time.Sleep(100 * time.Millisecond)
		if got := call(c, "http://server-1/?for=1s", time.Second); got.err == nil {
			t.Errorf("second: got %v, want it to wait", got)
		}
		time.Sleep(time.Second)
		// The place of the second is free again; the first leaves at 11.53 s.
		wg.Go(func() {
			call(c, "http://server-1/?for=30s", time.Minute).good(t, "third", 37900*time.Millisecond+4*hop)
		})
		time.Sleep(12 * time.Second)
		// One that waits when the fault ends, at 21 s, enters at once.
		begin := n.Since()
		got := call(c, "http://server-1/", time.Minute)
		if want := 21*time.Second - begin; got.err != nil || got.took < want || got.took > want+5*hop {
			t.Errorf("fourth: got %v, want a 200 after %v", got, want)
		}
		wg.Wait()
	}, exact)
}

// What the handler finds is what net/http gave: it can flush, and take the
// connection over.
func TestHandlerKeepsItsAbilities(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, func(*transporttest.Process) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if _, ok := w.(http.Flusher); !ok {
					t.Error("the handler's writer is no http.Flusher")
				}
				io.WriteString(w, "a")
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				io.WriteString(w, "b")
			})
		}, transporttest.WithPlainServer(true))
		resp, err := n.Host("client").Process().PlainClient().Get("http://server-1/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		start := time.Now()
		if _, err := resp.Body.Read(make([]byte, 1)); err != nil || time.Since(start) > hop {
			t.Errorf("the first part came after %v (%v), want it flushed", time.Since(start), err)
		}
	}, exact)
}
