package transporttest_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/bubble"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// meet returns the two ends of a connection from host web to host server.
func meet(t *testing.T, n *transporttest.Network) (client, server net.Conn) {
	t.Helper()
	l, err := n.Host("server").Process().Listen("1")
	if err != nil {
		t.Fatal(err)
	}
	if client, err = n.Host("web").Process().Dial(t.Context(), "tcp", "server:1"); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// What came before a reset can be read, as on Linux.
func TestDataBeforeReset(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := meet(t, n)
		send(t, client, "unread")
		time.Sleep(time.Second)
		send(t, server, "answer")
		_ = server.Close()
		time.Sleep(time.Second)
		got, err := io.ReadAll(client)
		if string(got) != "answer" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %q, %v, want the answer and then a reset", got, err)
		}
	})
}

// A writer into a black hole fills its buffer and then waits.
func TestBlackHoleFillsBuffer(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, _ := meet(t, n)
		n.Fault(transporttest.Fault{Kind: transporttest.BlackHole, From: "web", To: "server"})
		time.Sleep(time.Second)
		if err := client.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		sent, err := client.Write(make([]byte, 1<<20))
		if sent != 256<<10 || !isTimeout(err) {
			t.Errorf("wrote %d bytes, %v, want what a buffer holds and a timeout", sent, err)
		}
		ended := make(chan error, 1)
		_ = client.SetWriteDeadline(time.Time{})
		go func() {
			_, err := client.Write([]byte("more"))
			ended <- err
		}()
		time.Sleep(time.Second)
		_ = client.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close ended a waiting Write with %v, want net.ErrClosed", err)
		}
	})
}

func isTimeout(err error) bool {
	netErr, ok := errors.AsType[*net.OpError](err)
	return ok && netErr.Timeout()
}

// Errors are of the same types as those of package net.
func TestErrorsAreThoseOfNet(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, _ := meet(t, n)
		_ = client.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := client.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("read: %#v, want a timeout in a *net.OpError", err)
		}
		n.Fault(transporttest.Fault{Kind: transporttest.BlackHole, From: "web", To: "server"})
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host("web").Process().Dial(ctx, "tcp", "server:1"); !isTimeout(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v, want a timeout in a *net.OpError", err)
		}
	})
}

// A process that is frozen cannot even end a connection.
func TestFrozenProcessDoesNotClose(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := meet(t, n)
		began := n.Since()
		n.Fault(transporttest.Fault{Kind: transporttest.Pause, On: "web", At: time.Second, For: 10 * time.Second})
		send(t, server, "unread")
		time.Sleep(2 * time.Second)
		_ = client.Close()
		_, err := server.Read(make([]byte, 1))
		if took := n.Since() - began; err == nil || took < 11*time.Second {
			t.Errorf("after %v the other side was told %v, want it to hear after 11s", took, err)
		}
	})
}

// A link that is slow no more carries at once what waits for it.
func TestDripEndsForWhatWaits(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := meet(t, n)
		n.Fault(
			transporttest.Fault{Kind: transporttest.Drip, Rate: 1000, From: "server", To: "web", For: 10 * time.Second},
			transporttest.Fault{Kind: transporttest.Drip, Rate: 10_000, From: "server", To: "web", For: 15 * time.Second},
		)
		time.Sleep(time.Millisecond)
		began := time.Now()
		go func() {
			_, _ = server.Write(make([]byte, 100_000))
			_ = server.Close()
		}()
		for _, want := range []struct {
			bytes int
			after time.Duration
		}{
			{9_000, 9 * time.Second},   // at 1,000 a second
			{41_000, 14 * time.Second}, // at 10,000
			{50_000, 15 * time.Second}, // at once
		} {
			if _, err := io.ReadFull(client, make([]byte, want.bytes)); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got < want.after-200*time.Millisecond || got > want.after+200*time.Millisecond {
				t.Errorf("%d bytes more after %v, want %v", want.bytes, got, want.after)
			}
		}
		if n, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("read %d bytes more, %v, want the end", n, err)
		}
	})
}

// Faults that never end do not keep the network from ending.
func TestFrozenToTheEnd(t *testing.T) {
	for _, silent := range []bool{false, true} {
		transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
			n.Serve("hello", 2, hello)
			n.Host("idle")
			n.Fault(
				transporttest.Fault{Kind: transporttest.Pause, On: "*", At: time.Second},
				transporttest.Fault{Kind: transporttest.Crash, Silent: silent, On: "hello", At: 2 * time.Second},
			)
			go func() {
				time.Sleep(1500 * time.Millisecond)
				if _, err := n.Host("idle").Process().Dial(context.Background(), "tcp", "hello-1:80"); err == nil {
					t.Error("a frozen process has dialled")
				}
			}()
			n.Run(load.Load{Client: "web", Service: "hello", Rate: 10, For: 5 * time.Second, Timeout: time.Second})
		})
	}
}

// A fault ends for those for whom it began.
func TestHostThatComesMeanwhile(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("hello", 1, hello)
		for _, f := range []transporttest.Fault{
			{Kind: transporttest.Pause}, {Kind: transporttest.Crash}, {Kind: transporttest.ClockJump, Jump: time.Hour},
		} {
			f.On, f.For = "*", time.Second
			n.Fault(f)
		}
		time.Sleep(500 * time.Millisecond)
		p := n.Host("late").Process()
		time.Sleep(time.Second)
		if now := p.Now(); !now.Equal(time.Now()) {
			t.Errorf("its clock is off by %v", time.Until(now))
		}
		n.Fault(
			transporttest.Fault{Kind: transporttest.Pause, On: "late", For: time.Second},
			transporttest.Fault{Kind: transporttest.Crash, On: "late", At: 2 * time.Second, For: time.Second},
		)
		time.Sleep(1500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/4)
		defer cancel()
		if _, err := p.Dial(ctx, "tcp", "hello-1:80"); err != nil {
			t.Errorf("after its pause: %v", err)
		}
		time.Sleep(3 * time.Second)
		if run := n.Host("late").Process().Run(); run != 2 {
			t.Errorf("after its crash it runs for time %d, want 2", run)
		}
	})
}

func TestRestartBeforeTheBeginning(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Fault(transporttest.Fault{Kind: transporttest.Restart, On: "*", For: time.Minute})
		n.Serve("hello", 3, hello)
		time.Sleep(2 * time.Minute)
		if got := watched(t, n, "hello"); len(got) != 3 {
			t.Errorf("the list is %v, want 3 instances", got)
		}
	})
}

// The attempts of a client of gabion count once, whoever made it.
func TestAttemptsOfOwnClient(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("hello", 3, hello)
		r := n.RunVia(func(p *transporttest.Process) http.RoundTripper {
			c, err := transport.NewClient(p.Registry(), p.ClientOptions()...)
			if err != nil {
				t.Fatal(err)
			}
			p.OnStop(func() { _ = c.Close() })
			return c
		}, load.Load{Client: "web", Service: "hello", Kind: load.Constant, Rate: 10, For: 10 * time.Second})
		got := 0
		for _, replica := range r.ByReplica {
			got += replica.Attempts
		}
		if r.Calls != 100 || got != 100 {
			t.Errorf("%d attempts of %d calls, want 100 of 100", got, r.Calls)
		}
		var trace strings.Builder
		if err := r.Trace(&trace); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(trace.String(), "attempt web #100 ") {
			t.Error("the trace does not say of which call an attempt is")
		}
	}, transporttest.WithTrace(true))
}

// A stale list is that of the fault's beginning, whoever looks first, and when.
func TestStaleListOfTheBeginning(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("hello", 3, hello)
		n.Fault(
			transporttest.Fault{Kind: transporttest.RegistryStale, On: "*", At: time.Second, For: time.Minute},
			transporttest.Fault{Kind: transporttest.Restart, On: "hello-1", At: 2 * time.Second},
		)
		time.Sleep(20 * time.Second)
		if got := watched(t, n, "hello"); len(got) != 3 {
			t.Errorf("the list is %v, want 3 instances", got)
		}
		time.Sleep(time.Minute)
		if got := watched(t, n, "hello"); len(got) != 2 {
			t.Errorf("after the fault the list is %v, want 2 instances", got)
		}
	})
}

// watched is the first list that a watch gets.
func watched(t *testing.T, n *transporttest.Network, service string) []discovery.Instance {
	t.Helper()
	for list, err := range n.Host("web").Process().Registry().Watch(t.Context(), service) {
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	return nil
}

// Two services may use the same IDs, and a status may ask the registry.
func TestInstancesOfTwoServices(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		p := n.Host("both").Process()
		registry := p.Registry()
		for _, service := range []string{"cart", "pricing"} {
			var reg discovery.Registration
			var err error
			reg, err = registry.Register(t.Context(), discovery.Instance{ID: "1", Service: service, Addr: "both:80"},
				func() (discovery.Status, <-chan struct{}) {
					watched(t, n, service)
					return discovery.Passing, nil
				})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = reg.Deregister(context.WithoutCancel(t.Context())) }()
		}
		time.Sleep(5 * time.Second)
		for _, service := range []string{"cart", "pricing"} {
			if got := watched(t, n, service); len(got) != 1 {
				t.Errorf("%s is %v, want one instance", service, got)
			}
		}
	})
}

// An answer that does not get back is no answer.
func TestOneWayPartitionFromRegistry(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("hello", 1, hello)
		n.Host("web")
		n.Fault(transporttest.Fault{Kind: transporttest.Partition, From: "registry", To: "web", OneWay: true})
		time.Sleep(time.Second)
		for _, err := range n.Host("web").Process().Registry().Watch(t.Context(), "hello") {
			if !errors.Is(err, transporttest.ErrRegistryDown) {
				t.Errorf("got %v, want ErrRegistryDown", err)
			}
			break
		}
	})
}

// Next to no processor takes next to for ever; it does not stop the clock.
func TestNextToNoCores(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("hello", 1, hello)
		n.Fault(transporttest.Fault{Kind: transporttest.CPU, On: "hello", Cores: 1e-300, Work: dist.Constant(time.Second), For: time.Minute})
		r := n.Run(load.Load{Client: "web", Service: "hello", Kind: load.Burst, Burst: 3, For: time.Second, Timeout: time.Second})
		if r.OK != 0 {
			t.Errorf("%d calls were OK, want none", r.OK)
		}
	})
}

// A latency that is as long as can be does not come round to none.
func TestLongestLatency(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := meet(t, n)
		for range 3 {
			n.Fault(transporttest.Fault{Kind: transporttest.Latency, Latency: dist.Constant(math.MaxInt64), From: "web", To: "server"})
		}
		time.Sleep(time.Second)
		send(t, client, "hello")
		_ = server.SetReadDeadline(time.Now().Add(time.Hour))
		if got, err := server.Read(make([]byte, 10)); !isTimeout(err) {
			t.Errorf("read %d bytes, %v, want a timeout", got, err)
		}
	}, transporttest.WithLatency(dist.Constant(time.Millisecond)))
}

// What cannot be, or would do nothing, is said.
func TestMisuse(t *testing.T) {
	for name, tc := range map[string]struct {
		opts []transporttest.Option
		do   func(n *transporttest.Network)
		want string
	}{
		"latency": {
			opts: []transporttest.Option{transporttest.WithLatency(dist.Dist{Kind: "bogus"})},
			want: `latency: dist: kind "bogus"`,
		},
		"unread file": {
			opts: []transporttest.Option{transporttest.WithRegistryDelay(dist.Dist{Kind: dist.KindQuantiles, File: "q.csv"})},
			want: `registry delay: file "q.csv" has not been read`,
		},
		"TTL": {
			opts: []transporttest.Option{transporttest.WithRegistryTTL(-1)},
			want: "registry TTL -1ns: must be positive",
		},
		"replay": {
			do: func(n *transporttest.Network) {
				n.Run(load.Load{Client: "web", Service: "hello", Kind: load.Replay, File: "log.txt"})
			},
			want: `file "log.txt" has not been read`,
		},
		"host of a service": {
			do:   func(n *transporttest.Network) { n.Host("cart-1"); n.Serve("cart", 1, hello) },
			want: `service "cart": there is a service or host "cart-1" already`,
		},
		"host like a service": {
			do:   func(n *transporttest.Network) { n.Host("hello") },
			want: `host "hello": that means something else`,
		},
		"host everyone": {
			do:   func(n *transporttest.Network) { n.Host("*") },
			want: `host "*": that means something else`,
		},
		"for ever": {
			do: func(n *transporttest.Network) {
				n.Fault(transporttest.Fault{Kind: transporttest.Pause, On: "hello", For: math.MaxInt64})
			},
			want: "want 100 years at most; for 0s is until the end",
		},
		"crash of the registry": {
			do: func(n *transporttest.Network) {
				n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "registry"})
			},
			want: `on "registry": nothing runs there`,
		},
		"latency to the registry": {
			do: func(n *transporttest.Network) {
				n.Fault(transporttest.Fault{Kind: transporttest.Latency, Latency: dist.Constant(1), From: "hello", To: "registry"})
			},
			want: `a link to "registry" can only have "partition" or "black-hole"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := bubble.Run(name, func(tb testing.TB) {
				n := transporttest.New(tb, tc.opts...)
				n.Serve("hello", 1, hello)
				tc.do(n)
			})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
