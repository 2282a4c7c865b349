package transporttest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// Each fault of a link lasts from second 1 to second 11. Two hops connect, two
// more bring request and response. A client calls before, during and after it,
// over a connection that was open before, or over a new one each time.
func TestLinkFaults(t *testing.T) {
	const limit = 4 * time.Second
	for name, c := range map[string]struct {
		fault       transporttest.Fault
		open, fresh time.Duration // how long a call takes during the fault; limit if it fails by then
		refused     bool          // fresh is refused
		after       time.Duration // how long the call over the old connection takes afterwards
	}{
		"latency": {
			fault: transporttest.Fault{Kind: transporttest.Latency, From: "client", To: "server", Latency: dist.Constant(100 * time.Millisecond)},
			open:  220 * time.Millisecond, fresh: 440 * time.Millisecond, after: 2 * hop,
		},
		"latency one way": {
			fault: transporttest.Fault{Kind: transporttest.Latency, From: "client", To: "server", OneWay: true, Latency: dist.Constant(100 * time.Millisecond)},
			open:  120 * time.Millisecond, fresh: 240 * time.Millisecond, after: 2 * hop,
		},
		"latency the other way": {
			fault: transporttest.Fault{Kind: transporttest.Latency, From: "server-1", To: "client", OneWay: true, Latency: dist.Constant(300 * time.Millisecond)},
			open:  320 * time.Millisecond, fresh: 640 * time.Millisecond, after: 2 * hop,
		},
		"latency elsewhere": {
			fault: transporttest.Fault{Kind: transporttest.Latency, From: "server", To: "other", Latency: dist.Constant(100 * time.Millisecond)},
			open:  2 * hop, fresh: 4 * hop, after: 2 * hop,
		},
		"stall of every packet": { // 200 ms + 400 ms + ... by packet: longer than anybody waits
			fault: transporttest.Fault{Kind: transporttest.Stall, From: "client", To: "server", Probability: 1},
			open:  limit, fresh: limit, after: 4 * hop,
		},
		"refuse": {
			fault: transporttest.Fault{Kind: transporttest.Refuse, From: "client", To: "server"},
			open:  2 * hop, fresh: 2 * hop, refused: true, after: 2 * hop,
		},
		"partition": {
			fault: transporttest.Fault{Kind: transporttest.Partition, From: "client", To: "server"},
			open:  limit, fresh: limit, after: 4 * hop, // the old connection was given up with its call
		},
		"partition one way": {
			fault: transporttest.Fault{Kind: transporttest.Partition, From: "server", To: "client", OneWay: true},
			open:  limit, fresh: limit, after: 4 * hop,
		},
		"black hole": {
			fault: transporttest.Fault{Kind: transporttest.BlackHole, From: "client", To: "server"},
			open:  limit, fresh: limit, after: 4 * hop,
		},
		"black hole one way": {
			fault: transporttest.Fault{Kind: transporttest.BlackHole, From: "server", To: "client", OneWay: true},
			open:  limit, fresh: limit, after: 4 * hop,
		},
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				n.Serve("server", 1, hello, transporttest.WithPlainServer(true))
				n.Serve("other", 1, hello)
				p := n.Host("client").Process()
				kept, fresh := p.PlainClient(), p.PlainClient()
				fresh.Transport = &http.Transport{DialContext: p.Dial, DisableKeepAlives: true}
				c.fault.At, c.fault.For = time.Second, 10*time.Second
				n.Fault(c.fault)
				start := time.Now()

				call(kept, "http://server-1/", limit).good(t, "connecting before", 4*hop)
				call(kept, "http://server-1/", limit).good(t, "before", 2*hop)

				until(start, 1100*time.Millisecond)
				wantFresh := c.fresh
				results := make(chan answer)
				go func() { results <- call(fresh, "http://server-1/", limit) }()
				during(t, "open connection", call(kept, "http://server-1/", limit), c.open, limit)
				got := <-results
				if c.refused {
					if !errors.Is(got.err, syscall.ECONNREFUSED) || got.took != wantFresh {
						t.Errorf("new connection: got %v, want it refused after %v", got, wantFresh)
					}
				} else {
					during(t, "new connection", got, wantFresh, limit)
				}

				until(start, 12*time.Second)
				call(kept, "http://server-1/", limit).good(t, "after", c.after)
				call(fresh, "http://server-1/", limit).good(t, "connecting after", 4*hop)
			}, exact)
		})
	}
}

func during(t *testing.T, what string, got answer, took, limit time.Duration) {
	t.Helper()
	switch {
	case took != limit:
		got.good(t, what, took)
	case !errors.Is(got.err, context.DeadlineExceeded) || got.took != limit:
		t.Errorf("%s: got %v, want it to last longer than %v", what, got, limit)
	}
}

// With HTTP/2 many calls share a connection, which a call that is given up does
// not end.
func TestLinkFaultsHTTP2(t *testing.T) {
	for name, c := range map[string]struct {
		fault         transporttest.Fault
		during, after time.Duration // zero is not within 3 s
	}{
		"latency": {
			fault:  transporttest.Fault{Kind: transporttest.Latency, From: "client", To: "server", Latency: dist.Constant(100 * time.Millisecond)},
			during: 220 * time.Millisecond, after: 2 * hop,
		},
		"refuse":     {fault: transporttest.Fault{Kind: transporttest.Refuse, From: "client", To: "server"}, during: 2 * hop, after: 2 * hop},
		"partition":  {fault: transporttest.Fault{Kind: transporttest.Partition, From: "client", To: "server"}, after: 2 * hop},
		"black hole": {fault: transporttest.Fault{Kind: transporttest.BlackHole, From: "client", To: "server"}},
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				h2 := protocols[1]
				h2.serve(n, "server", 1, hello)
				client := h2.client(t, n.Host("client").Process())
				c.fault.At, c.fault.For = time.Second, 10*time.Second
				n.Fault(c.fault)
				start := time.Now()
				expect := func(what string, took time.Duration) {
					t.Helper()
					limit := 3 * time.Second
					if took == 0 {
						took = limit
					}
					during(t, what, call(client, "http://server-1/", limit), took, limit)
				}
				expect("before", 4*hop)
				until(start, 2*time.Second)
				expect("during", c.during)
				until(start, 30*time.Second)
				expect("after", c.after)
			}, exact)
		})
	}
}

// What a distribution says is what one gets, whether it was made or measured.
func TestLatencyFollowsItsDistribution(t *testing.T) {
	measured, err := dist.Dist{Kind: dist.KindQuantiles, File: "rtt.csv"}.Load(fstest.MapFS{
		"rtt.csv": {Data: []byte("q,d\n0,10ms\n0.5,20ms\n1,100ms\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]dist.Dist{
		"uniform":     dist.Uniform(20*time.Millisecond, 80*time.Millisecond),
		"exponential": dist.Exponential(50 * time.Millisecond),
		"file":        measured,
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				client, server := pipe(t, n)
				n.Fault(transporttest.Fault{Kind: transporttest.Latency, From: "client", To: "server", OneWay: true, Latency: d})
				time.Sleep(time.Millisecond)
				const total = 2000
				var took []time.Duration
				for range total {
					start := time.Now()
					if _, err := client.Write([]byte("x")); err != nil {
						t.Fatal(err)
					}
					if _, err := server.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
					took = append(took, time.Since(start)-hop)
				}
				slices.Sort(took)
				for _, q := range []float64{0.1, 0.5, 0.9} {
					got, want := took[int(q*total)], d.At(q)
					if ratio := float64(got) / float64(want); ratio < 0.85 || ratio > 1.15 {
						t.Errorf("quantile %v: got %v, want %v", q, got, want)
					}
				}
			}, exact)
		})
	}
}

// A file that nobody has read is no distribution.
func TestFaultWithUnreadFile(t *testing.T) {
	var failure string
	transporttest.Test(t, func(t *testing.T, _ *transporttest.Network) {
		failure = fatal(t, func(n *transporttest.Network) {
			n.Fault(transporttest.Fault{Kind: transporttest.Slow, On: "*", Latency: dist.Dist{Kind: dist.KindQuantiles, File: "x.csv"}})
		})
	})
	if !strings.Contains(failure, "x.csv") {
		t.Errorf("got %q, want an error that names the file", failure)
	}
}

// A lost packet is sent again after 200 ms, 400 ms, ..., and those behind it
// wait.
func TestStallWaitsForTheLostPacket(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		n.Fault(transporttest.Fault{Kind: transporttest.Stall, From: "client", To: "server", OneWay: true, Probability: 0.1})
		time.Sleep(time.Millisecond)
		seen := map[time.Duration]int{}
		for range 1000 {
			start := time.Now()
			client.Write([]byte("x"))
			server.Read(make([]byte, 1))
			seen[time.Since(start).Round(time.Millisecond)]++
		}
		if n := seen[hop]; n < 860 || n > 940 {
			t.Errorf("%d of 1000 packets were not lost, want 900", n)
		}
		if n := seen[hop+200*time.Millisecond]; n < 60 || n > 120 {
			t.Errorf("%d of 1000 packets were lost once, want 90", n)
		}
		if n := seen[hop+600*time.Millisecond]; n < 1 || n > 25 {
			t.Errorf("%d of 1000 packets were lost twice, want 9", n)
		}

		start := time.Now()
		var last time.Duration
		for i := range 100 { // they arrive in order, none before a lost one
			client.Write([]byte{byte(i)})
			time.Sleep(time.Microsecond)
		}
		b := make([]byte, 1)
		for i := range 100 {
			server.Read(b)
			if int(b[0]) != i {
				t.Fatalf("byte %d arrived as number %d", b[0], i)
			}
			last = time.Since(start)
		}
		if last < 200*time.Millisecond {
			t.Errorf("100 packets, some of them lost, took %v, want 200ms or more", last)
		}
	}, exact)
}

func TestResetBreaksConnections(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				p.serve(n, "server", 1, hello)
				c := p.client(t, n.Host("client").Process())
				n.Fault(transporttest.Fault{Kind: transporttest.Reset, From: "server", To: "client", OneWay: true, Probability: 1, At: time.Second, For: time.Second})
				call(c, "http://server-1/", time.Minute).good(t, "before", 4*hop)
				time.Sleep(1500 * time.Millisecond)
				// net/http sends a GET again if its connection broke before an answer,
				// and so takes a while to give up.
				if got := call(c, "http://server-1/", 300*time.Millisecond); got.err == nil {
					t.Errorf("during: got %v, want an error", got)
				}
				// A POST is sent once.
				got := do(c, http.MethodPost, "http://server-1/", "x", time.Minute)
				if got.err == nil || got.took > 4*hop {
					t.Errorf("during: got %v, want a reset after %v", got, 4*hop)
				}
				if !p.http2 && !errors.Is(got.err, syscall.ECONNRESET) {
					t.Errorf("during: got %v, want ECONNRESET", got)
				}
				time.Sleep(time.Second)
				if got := call(c, "http://server-1/", time.Minute); got.err != nil {
					t.Errorf("after: got %v, want 200", got)
				}
			}, exact)
		})
	}
}

// After a partition TCP sends again what was on its way, at the next of its
// growing pauses: 200 ms, 600 ms, 1.4 s, 3 s, 6.2 s ... after the first time.
func TestPartitionHeals(t *testing.T) {
	for sent, want := range map[time.Duration]time.Duration{ // by when it was sent, when it arrives; the partition is over at 3.5 s
		1100 * time.Millisecond: 4100 * time.Millisecond, // 1.1 + 3.0
		3300 * time.Millisecond: 3500 * time.Millisecond, // 3.3 + 0.2
		3100 * time.Millisecond: 3700 * time.Millisecond, // 3.1 + 0.6
		2500 * time.Millisecond: 3900 * time.Millisecond, // 2.5 + 1.4
	} {
		t.Run(fmt.Sprint(sent), func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				client, server := pipe(t, n)
				start := time.Now()
				n.Fault(transporttest.Fault{Kind: transporttest.Partition, From: "client", To: "server", At: time.Second, For: 2499 * time.Millisecond})
				until(start, sent)
				client.Write([]byte("ab"))
				client.Write([]byte("c")) // does not overtake
				b := make([]byte, 3)
				if _, err := io.ReadFull(server, b); err != nil || string(b) != "abc" {
					t.Fatalf("got %q, %v", b, err)
				}
				if got := time.Since(start).Round(time.Millisecond); got != want+hop {
					t.Errorf("arrived at %v, want %v", got, want+hop)
				}
			}, exact)
		})
	}
}

// Connecting is tried again after 1 s, 3 s, 7 s ...
func TestPartitionDelaysConnecting(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, hello, transporttest.WithPlainServer(true))
		c := n.Host("client").Process().PlainClient()
		n.Fault(transporttest.Fault{Kind: transporttest.Partition, From: "client", To: "server", For: 5 * time.Second})
		time.Sleep(time.Millisecond)
		call(c, "http://server-1/", time.Minute).good(t, "a call through the partition's end", 7*time.Second+4*hop)
	}, exact)
}

// A one-way partition lets requests in and no answers out.
func TestPartitionOneWayLetsRequestsIn(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		served := 0
		n.Serve("server", 1, func(*transporttest.Process) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ })
		})
		c := n.Host("client").Process().PlainClient()
		call(c, "http://server-1/", time.Second).good(t, "before", 4*hop)
		n.Fault(transporttest.Fault{Kind: transporttest.Partition, From: "server", To: "client", OneWay: true, For: time.Minute})
		time.Sleep(time.Millisecond)
		if got := do(c, http.MethodPost, "http://server-1/", "x", time.Second); got.err == nil {
			t.Errorf("got %v, want an error", got)
		}
		if served != 2 {
			t.Errorf("served %d requests, want 2: this way was open", served)
		}
	}, exact)
}

// Nothing gets through a partition or a black hole, not even the news that the
// other side has crashed. That comes with the next packet, after the partition.
func TestCrashBehindAPartition(t *testing.T) {
	for kind, want := range map[transporttest.Kind]error{
		transporttest.Partition: syscall.ECONNRESET, transporttest.BlackHole: os.ErrDeadlineExceeded,
	} {
		t.Run(string(kind), func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				entered := make(chan struct{}, 1)
				n.Serve("server", 1, func(*transporttest.Process) http.Handler {
					return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						entered <- struct{}{}
						<-r.Context().Done()
					})
				})
				client := connect(t, n.Host("client").Process(), "server-1:80")
				defer client.Close()
				io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				<-entered
				n.Fault(
					transporttest.Fault{Kind: kind, From: "client", To: "server", At: time.Second, For: 9 * time.Second},
					transporttest.Fault{Kind: transporttest.Crash, On: "server-1", At: 2 * time.Second, For: time.Second},
				)
				client.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, want silence", err)
				}
				client.SetReadDeadline(time.Now().Add(20 * time.Second))
				io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				_, err := client.Read(make([]byte, 1))
				if !errors.Is(err, want) {
					t.Errorf("after the next packet: got %v, want %v", err, want)
				}
			}, exact)
		})
	}
}

// A connection that a black hole has met is dead for good: nobody tells either
// side. New ones work.
func TestBlackHoleKillsConnections(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		n.Fault(transporttest.Fault{Kind: transporttest.BlackHole, From: "client", To: "server", OneWay: true, At: time.Second, For: time.Second})
		time.Sleep(5 * time.Second)
		if n, err := client.Write([]byte("lost")); n != 4 || err != nil {
			t.Errorf("write: %d, %v; want it to be swallowed", n, err)
		}
		server.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v, want silence", err)
		}
		server.Write([]byte("x"))
		client.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := client.Read(make([]byte, 1)); err != nil {
			t.Errorf("the other way: %v", err)
		}
	}, exact)
}

func TestDrip(t *testing.T) {
	const size, rate = 50_000, 10_000
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				p.serve(n, "server", 1, func(*transporttest.Process) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", size)) })
				})
				c := p.client(t, n.Host("client").Process())
				n.Fault(transporttest.Fault{Kind: transporttest.Drip, From: "server", To: "client", OneWay: true, Rate: rate, At: time.Second, For: time.Minute})
				call(c, "http://server-1/", time.Minute).good(t, "before", 4*hop)
				time.Sleep(2 * time.Second)
				got := call(c, "http://server-1/", time.Minute)
				if len(got.body) != size || got.took < 5*time.Second || got.took > 5300*time.Millisecond {
					t.Errorf("got %v, want %d bytes after 5 s and a little", got, size)
				}
				if got := call(c, "http://server-1/", 2*time.Second); got.err == nil || len(got.body) < rate || len(got.body) > 2*rate {
					t.Errorf("got %d bytes, %v in 2 s, want a part", len(got.body), got.err)
				}
				time.Sleep(2 * time.Minute)
				if got := call(c, "http://server-1/", time.Minute); len(got.body) != size || got.took > 4*hop {
					t.Errorf("after: got %v", got)
				}
			}, exact)
		})
	}
}

// A share of the data and of the connections.
func TestLinkProbability(t *testing.T) {
	const total = 1000
	for name, c := range map[string]struct {
		fault transporttest.Fault
		hit   func(answer) bool
	}{
		"latency": {
			transporttest.Fault{Kind: transporttest.Latency, From: "client", To: "server", OneWay: true, Latency: dist.Constant(time.Second), Probability: 0.3},
			func(a answer) bool { return a.took > time.Second },
		},
		"refuse": {
			transporttest.Fault{Kind: transporttest.Refuse, From: "client", To: "server", Probability: 0.3},
			func(a answer) bool { return errors.Is(a.err, syscall.ECONNREFUSED) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				n.Serve("server", 1, hello, transporttest.WithPlainServer(true))
				p := n.Host("client").Process()
				client := p.PlainClient()
				if c.fault.Kind == transporttest.Refuse {
					client.Transport = &http.Transport{DialContext: p.Dial, DisableKeepAlives: true}
				} else {
					call(client, "http://server-1/", time.Minute)
				}
				n.Fault(c.fault)
				time.Sleep(time.Millisecond)
				hits := 0
				for range total {
					if c.hit(call(client, "http://server-1/", time.Minute)) {
						hits++
					}
				}
				if hits < 250 || hits > 350 {
					t.Errorf("%d of %d calls were hit, want 300", hits, total)
				}
			}, exact)
		})
	}
}
