package transporttest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
)

// What people know of net/http holds in the network. That all goroutines are
// gone at the end is what the bubble sees to in each of these tests.

func TestConnectionsAreReused(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				p.serve(n, "server", 1, hello)
				c := p.client(t, n.Host("client").Process())
				dials, reused := 0, 0
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
					if i.Reused {
						reused++
					} else {
						dials++
					}
				}})
				for range 10 {
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://server-1/", nil)
					resp, err := c.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if dials != 1 || reused != 9 {
					t.Errorf("%d connections, %d times reused; want 1 and 9", dials, reused)
				}
			})
		})
	}
}

func TestLargeBodies(t *testing.T) {
	const size = 10 << 20 // 10 MB
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				p.serve(n, "server", 1, func(*transporttest.Process) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						got, err := io.ReadAll(r.Body)
						if err != nil {
							t.Error(err)
						}
						w.Write(got)
					})
				})
				c := p.client(t, n.Host("client").Process())
				body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
				resp, err := c.Post("http://server-1/", "text/plain", bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) {
					t.Errorf("got %d bytes, %v; want the same %d", len(got), err, size)
				}
			})
		})
	}
}

// A caller that reads slowly holds the handler back.
func TestSlowReaderHoldsTheHandlerBack(t *testing.T) {
	const size = 4 << 20
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				var wrote atomic.Int64
				p.serve(n, "server", 1, func(*transporttest.Process) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						for range size >> 12 {
							k, _ := w.Write(make([]byte, 1<<12))
							wrote.Add(int64(k))
						}
					})
				})
				c := p.client(t, n.Host("client").Process())
				resp, err := c.Get("http://server-1/")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				time.Sleep(time.Minute)
				// HTTP/2 lets a response be 4 MB ahead, net/http's own window.
				if got := wrote.Load(); !p.http2 && got > 1<<20 {
					t.Errorf("the handler wrote %d bytes that nobody read", got)
				}
				if got, err := io.Copy(io.Discard, resp.Body); err != nil || got != size {
					t.Errorf("read %d bytes, %v; want %d", got, err, size)
				}
			})
		})
	}
}

func TestShutdownWaits(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		l, err := n.Host("server").Process().Listen("80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: patient(n.Host("server").Process()), ReadHeaderTimeout: time.Minute}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		c := n.Host("client").Process().PlainClient()
		call(c, "http://server/", time.Minute).good(t, "first", 4*hop) // leaves an idle connection
		inflight := make(chan answer)
		go func() { inflight <- call(c, "http://server/?for=10s", time.Minute) }()
		time.Sleep(time.Second)
		start := time.Now()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got < 8*time.Second || got > 12*time.Second {
			t.Errorf("Shutdown took %v, want about 9s", got)
		}
		(<-inflight).good(t, "in flight", 10*time.Second+2*hop)
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	}, exact)
}

func TestThousandConnections(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, patient, transporttest.WithPlainServer(true))
		p := n.Host("client").Process()
		c := &http.Client{Transport: &http.Transport{DialContext: p.Dial, DisableKeepAlives: true}}
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if got := call(c, "http://server-1/?for=1s", time.Minute); got.err != nil || got.took != time.Second+4*hop {
					t.Errorf("got %v", got)
				}
			})
		}
		wg.Wait()
	}, exact)
}

// 200 streams of one HTTP/2 connection, a partition in their middle, and nobody
// hangs, neither the streams nor the bubble.
func TestHTTP2StreamsThroughAPartition(t *testing.T) {
	for name, length := range map[string]time.Duration{"short": 5 * time.Second, "longer than anybody waits": time.Hour} {
		t.Run(name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				h2 := protocols[1]
				h2.serve(n, "server", 1, func(*transporttest.Process) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						for range 20 {
							if _, err := io.Copy(io.Discard, r.Body); err != nil {
								return
							}
							io.WriteString(w, strings.Repeat("x", 1000))
							http.NewResponseController(w).Flush()
							time.Sleep(100 * time.Millisecond)
						}
					})
				})
				c := h2.client(t, n.Host("client").Process())
				n.Fault(transporttest.Fault{Kind: transporttest.Partition, From: "client", To: "server", At: time.Second, For: length})
				var whole, failed atomic.Int32
				var wg sync.WaitGroup
				for range 200 {
					wg.Go(func() {
						if got := do(c, http.MethodPost, "http://server-1/", "hello", time.Minute); got.err == nil && len(got.body) == 20_000 {
							whole.Add(1)
						} else if got.err != nil {
							failed.Add(1)
						}
					})
				}
				wg.Wait()
				want := map[bool]int32{true: 200}[length < time.Minute]
				if whole.Load() != want || failed.Load() != 200-want {
					t.Errorf("%d of 200 got all and %d failed; want %d and %d", whole.Load(), failed.Load(), want, 200-want)
				}
			})
		})
	}
}

// The server hears that a caller has gone.
func TestCancellationReachesTheHandler(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				left := make(chan time.Duration, 1)
				p.serve(n, "server", 1, func(*transporttest.Process) http.Handler {
					return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						start := time.Now()
						<-r.Context().Done()
						left <- time.Since(start).Round(time.Millisecond)
					})
				})
				got := call(p.client(t, n.Host("client").Process()), "http://server-1/", time.Second)
				if !errors.Is(got.err, context.DeadlineExceeded) {
					t.Errorf("got %v", got)
				}
				if got, want := <-left, time.Second-2*hop; got != want {
					t.Errorf("the handler heard of it after %v, want %v", got, want)
				}
			}, exact)
		})
	}
}

func TestDialTimeout(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, hello)
		n.Fault(transporttest.Fault{Kind: transporttest.BlackHole, To: "server", At: 0})
		time.Sleep(time.Millisecond)
		p := n.Host("client").Process()
		c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			return p.Dial(ctx, network, addr)
		}}}
		if got := call(c, "http://server-1/", time.Minute); !errors.Is(got.err, context.DeadlineExceeded) || got.took != 3*time.Second {
			t.Errorf("got %v, want an error after 3s", got)
		}
	})
}

func TestExpectContinue(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, func(*transporttest.Process) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/refuse" {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				b, _ := io.ReadAll(r.Body)
				fmt.Fprint(w, len(b))
			})
		}, transporttest.WithPlainServer(true))
		c := &http.Client{Transport: &http.Transport{DialContext: n.Host("client").Process().Dial, ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}}
		for path, want := range map[string]struct {
			status int
			read   bool
		}{"/": {http.StatusOK, true}, "/refuse": {http.StatusForbidden, false}} {
			body := &counted{r: strings.NewReader("hello")}
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://server-1"+path, body)
			req.Header.Set("Expect", "100-continue")
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want.status || body.read.Load() > 0 != want.read {
				t.Errorf("%s: got %d, %d bytes of the body sent", path, resp.StatusCode, body.read.Load())
			}
		}
	})
}

// counted counts what is read.
type counted struct {
	r    io.Reader
	read atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// A handler takes the connection over and talks a protocol of its own, as
// WebSocket does.
func TestUpgrade(t *testing.T) {
	for _, plain := range []bool{true, false} {
		t.Run(fmt.Sprintf("plain server %v", plain), func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				n.Serve("server", 1, func(*transporttest.Process) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						c, rw, err := w.(http.Hijacker).Hijack()
						if err != nil {
							t.Error(err)
							return
						}
						defer c.Close()
						io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
						rw.Flush()
						io.Copy(c, rw)
					})
				}, transporttest.WithPlainServer(plain))
				c := n.Host("client").Process().PlainClient()
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server-1/", nil)
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "echo")
				resp, err := c.Do(req)
				if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
					t.Fatalf("got %v, %v", resp, err)
				}
				rw := resp.Body.(io.ReadWriteCloser)
				defer rw.Close()
				lines := bufio.NewReader(rw)
				for i := range 5 {
					time.Sleep(time.Minute)
					start := time.Now()
					fmt.Fprintln(rw, "line", i)
					got, err := lines.ReadString('\n')
					if want := fmt.Sprintln("line", i); err != nil || got != want || time.Since(start).Round(time.Millisecond) != 2*hop {
						t.Errorf("got %q, %v after %v; want %q", got, err, time.Since(start), want)
					}
				}
			}, exact)
		})
	}
}

// A test that ends with calls under way, handlers asleep and connections open
// ends all the same.
func TestEndsInTheMiddle(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				p.serve(n, "server", 3, patient)
				n.Fault(
					transporttest.Fault{Kind: transporttest.Pause, On: "server-1"},
					transporttest.Fault{Kind: transporttest.Partition, To: "server-2", At: time.Second},
					transporttest.Fault{Kind: transporttest.Queue, On: "server-3", Workers: 1, Backlog: -1},
				)
				client := n.Host("client").Process()
				plain, gabion := p.client(t, client), client.Client()
				for i := range 5 {
					go call(plain, fmt.Sprintf("http://server-%d/?for=1h", i%3+1), 2*time.Hour)
					go call(gabion, "http://server/?for=1h", 2*time.Hour)
				}
				connect(t, client, "server-1:80")
				time.Sleep(1500 * time.Millisecond)
			})
		})
	}
}
