package transporttest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// patient answers after as long as the query says.
func patient(p *transporttest.Process) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, _ := time.ParseDuration(r.URL.Query().Get("for"))
		time.Sleep(d)
		fmt.Fprint(w, p.Host().Name(), " run ", p.Run())
	})
}

func TestCrash(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				p.serve(n, "server", 2, patient)
				c := p.client(t, n.Host("client").Process())
				start := time.Now()
				n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "server-1", At: time.Second, For: 20 * time.Second})
				call(c, "http://server-1/", time.Minute).good(t, "before", 4*hop)

				// One that is in flight is reset a hop after the crash.
				inflight := do(c, http.MethodPost, "http://server-1/?for=1h", "x", 10*time.Second)
				if inflight.err == nil || !p.http2 && !errors.Is(inflight.err, syscall.ECONNRESET) {
					t.Errorf("in flight: got %v, want a reset", inflight)
				}
				if got := time.Since(start).Round(time.Millisecond); got != time.Second+hop {
					t.Errorf("in flight: ended at %v, want %v", got, time.Second+hop)
				}
				if got := call(c, "http://server-1/", time.Minute); !errors.Is(got.err, syscall.ECONNREFUSED) || got.took != 2*hop {
					t.Errorf("during: got %v, want it refused after %v", got, 2*hop)
				}
				call(c, "http://server-2/", time.Minute).good(t, "elsewhere", 4*hop)
				if n.Host("server-1").Process().Run() != 1 {
					t.Error("asking for the host started it again")
				}

				until(start, 22*time.Second)
				got := call(c, "http://server-1/", time.Minute)
				got.good(t, "after", 4*hop)
				if want := "server-1 run 2"; got.body != want {
					t.Errorf("after: got %q, want %q", got.body, want)
				}
			}, exact)
		})
	}
}

// When the machine itself is gone nobody tells the callers.
func TestCrashSilent(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, patient, transporttest.WithPlainServer(true))
		c := n.Host("client").Process().PlainClient()
		start := time.Now()
		n.Fault(transporttest.Fault{Kind: transporttest.Crash, Silent: true, On: "server-1", At: time.Second, For: 20 * time.Second})
		if got := call(c, "http://server-1/?for=2s", 5*time.Second); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("in flight: got %v, want no answer", got)
		}
		if got := call(c, "http://server-1/", 5*time.Second); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("during: got %v, want no answer", got)
		}
		until(start, 22*time.Second)
		call(c, "http://server-1/", 5*time.Second).good(t, "after", 4*hop)
	}, exact)
}

// A process that is down for two reasons comes back when both are over.
func TestOverlappingCrashes(t *testing.T) {
	for name, second := range map[string]transporttest.Fault{
		"crash":   {Kind: transporttest.Crash},
		"silent":  {Kind: transporttest.Crash, Silent: true},
		"restart": {Kind: transporttest.Restart},
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				n.Serve("server", 1, patient)
				c := n.Host("client").Process().PlainClient()
				start := time.Now()
				second.On, second.At, second.For = "server", 2*time.Second, 50*time.Second
				n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "server-1", At: time.Second, For: 20 * time.Second}, second)
				until(start, 30*time.Second)
				if got := call(c, "http://server-1/", 5*time.Second); got.err == nil {
					t.Errorf("got %v after the first of two faults", got)
				}
				until(start, 60*time.Second)
				if got := call(c, "http://server-1/", 5*time.Second); got.body != "server-1 run 2" {
					t.Errorf("got %v after both faults, want run 2", got)
				}
			})
		})
	}
}

// A restart loses nothing: what is in flight is answered, callers hear of it
// from the registry before the port closes, and a new process follows.
func TestRestart(t *testing.T) {
	for _, gabion := range []bool{false, true} {
		for _, p := range protocols {
			p.gabion = gabion
			t.Run(fmt.Sprintf("%s gabion %v", p.name, gabion), func(t *testing.T) {
				transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
					p.serve(n, "server", 1, patient)
					client := n.Host("client").Process()
					c, other := p.client(t, client), p.client(t, client)
					list := watch(t, client.Registry(), "server")
					start := time.Now()
					n.Fault(transporttest.Fault{Kind: transporttest.Restart, On: "server", At: 2 * time.Second, For: 10 * time.Second})
					until(start, time.Second)
					list.want(t, "server-1")
					long := make(chan answer)
					go func() { long <- call(c, "http://server-1/?for=4s", time.Minute) }()

					until(start, 2500*time.Millisecond)
					list.want(t)
					call(other, "http://server-1/", time.Minute).good(t, "while it drains", 4*hop)
					(<-long).good(t, "in flight", 4*time.Second+4*hop)

					until(start, 8*time.Second)
					if got := call(other, "http://server-1/", time.Minute); !errors.Is(got.err, syscall.ECONNREFUSED) {
						t.Errorf("during: got %v, want it refused", got)
					}
					until(start, 13*time.Second)
					list.want(t, "server-1.2")
					if got := call(other, "http://server-1/", time.Minute); got.body != "server-1 run 2" {
						t.Errorf("after: got %v, want run 2", got)
					}
				}, exact)
			})
		}
	}
}

// A process that takes longer to end than the restart lasts is not overtaken by
// its successor.
func TestRestartWaitsForTheOldProcess(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, patient, transporttest.WithPlainServer(true), transporttest.WithDrain(time.Second, 30*time.Second))
		c := n.Host("client").Process().PlainClient()
		n.Fault(transporttest.Fault{Kind: transporttest.Restart, On: "server", At: time.Second, For: time.Second})
		call(c, "http://server-1/?for=20s", time.Minute).good(t, "in flight", 20*time.Second+4*hop)
		time.Sleep(2 * time.Second)
		if got := call(c, "http://server-1/", time.Minute); got.body != "server-1 run 2" {
			t.Errorf("after: got %v, want run 2", got)
		}
	}, exact)
}

// The kernel of a paused process goes on accepting connections and data; the
// process answers when it wakes up.
func TestPause(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				p.serve(n, "server", 2, patient)
				client := n.Host("client").Process()
				c := p.client(t, client)
				start := time.Now()
				n.Fault(transporttest.Fault{Kind: transporttest.Pause, On: "server-1", At: time.Second, For: 9 * time.Second})
				call(c, "http://server-1/", time.Minute).good(t, "before", 4*hop)
				inflight := make(chan answer)
				go func() { inflight <- call(c, "http://server-1/?for=2s", time.Minute) }()

				until(start, 5*time.Second)
				connect(t, client, "server-1:80").Close()
				if got := time.Since(start).Round(time.Millisecond); got != 5*time.Second+2*hop {
					t.Errorf("connected at %v, want %v", got, 5*time.Second+2*hop)
				}
				if got := call(c, "http://server-1/", time.Second); !errors.Is(got.err, context.DeadlineExceeded) {
					t.Errorf("during: got %v, want no answer", got)
				}
				call(c, "http://server-2/", time.Minute).good(t, "elsewhere", 4*hop)
				now := time.Since(start)
				woken := call(p.client(t, client), "http://server-1/", time.Minute)
				woken.good(t, "asked during the pause", (10*time.Second - now + hop).Round(time.Millisecond))
				if got := <-inflight; got.err != nil || got.took != (10*time.Second-4*hop+hop).Round(time.Millisecond) {
					t.Errorf("in flight: got %v, want it a hop after the pause", got)
				}
				call(c, "http://server-1/", time.Minute).good(t, "after", 2*hop)
			}, exact)
		})
	}
}

// A caller that is paused reads what came meanwhile when it wakes up.
func TestPauseOfTheCaller(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		start := time.Now()
		n.Fault(
			transporttest.Fault{Kind: transporttest.Pause, On: "client", At: time.Second, For: 4 * time.Second},
			transporttest.Fault{Kind: transporttest.Pause, On: "*", At: 2 * time.Second, For: 6 * time.Second},
		)
		until(start, 1500*time.Millisecond)
		server.Write([]byte("x"))
		client.Write([]byte("y")) // leaves when the second pause is over, too
		if _, err := client.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		if got := time.Since(start).Round(time.Millisecond); got != 8*time.Second {
			t.Errorf("read at %v, want at the end of the last pause, 8 s", got)
		}
		if _, err := server.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		if got := time.Since(start).Round(time.Millisecond); got != 8*time.Second+hop {
			t.Errorf("the other side read at %v, want %v", got, 8*time.Second+hop)
		}
	}, exact)
}

// With n requests on c cores each gets min(1, c/n) of one.
func TestCPUIsShared(t *testing.T) {
	const work = 100 * time.Millisecond
	for _, c := range []struct {
		cores   float64
		callers int
		want    time.Duration
	}{
		{cores: 1, callers: 1, want: work},
		{cores: 1, callers: 5, want: 5 * work},
		{cores: 2, callers: 1, want: work}, // a request does not run on two cores
		{cores: 2, callers: 2, want: work},
		{cores: 2, callers: 6, want: 3 * work},
		{cores: 0.5, callers: 1, want: 2 * work},
		{cores: 0.5, callers: 3, want: 6 * work},
	} {
		t.Run(fmt.Sprint(c.callers, " on ", c.cores), func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				n.Serve("server", 1, hello, transporttest.WithPlainServer(true))
				client := n.Host("client").Process()
				n.Fault(transporttest.Fault{Kind: transporttest.CPU, On: "server", Cores: c.cores, Work: dist.Constant(work), At: time.Second, For: time.Minute})
				all := func(want time.Duration) {
					t.Helper()
					var wg sync.WaitGroup
					for range c.callers {
						wg.Go(func() { call(client.PlainClient(), "http://server-1/", time.Minute).good(t, "call", want) })
					}
					wg.Wait()
				}
				all(4 * hop)
				time.Sleep(time.Second)
				all(4*hop + c.want)
				time.Sleep(time.Minute)
				all(4 * hop)
			}, exact)
		})
	}
}

// One job runs alone for 100 ms; a second joins, and both run at half the pace
// until the first is done; the second then has the core to itself.
func TestCPUIsSharedOverTime(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		p := n.Host("server").Process()
		n.Fault(transporttest.Fault{Kind: transporttest.CPU, On: "server", Cores: 1, Work: dist.Constant(time.Second), For: time.Hour})
		time.Sleep(time.Millisecond)
		start := time.Now()
		done := func(name string, work, want time.Duration) {
			if err := p.Work(t.Context(), work); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := time.Since(start).Round(time.Microsecond); got != want {
				t.Errorf("%s: done at %v, want %v", name, got, want)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() { done("first", 200*time.Millisecond, 300*time.Millisecond) })
		until(start, 100*time.Millisecond)
		wg.Go(func() { done("second", 300*time.Millisecond, 550*time.Millisecond) })
		until(start, 350*time.Millisecond) // the second has 150 ms left
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := p.Work(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up: %v", err)
		}
		// 50 ms of the second were done while there was a third, so 100 ms are left.
		wg.Wait()
		if got, want := time.Since(start).Round(time.Microsecond), 550*time.Millisecond; got != want {
			t.Errorf("all done at %v, want %v", got, want)
		}
	})
}

// The end of one of two contentions leaves the other in force; the end of the
// last lets everybody go.
func TestCPUFaultsOverlap(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		p := n.Host("server").Process()
		cpu := func(cores float64, at, length time.Duration) transporttest.Fault {
			return transporttest.Fault{Kind: transporttest.CPU, On: "server", Cores: cores, Work: dist.Constant(1), At: at, For: length}
		}
		start := time.Now()
		n.Fault(cpu(0.1, 0, 100*time.Second), cpu(0.5, 10*time.Second, 10*time.Second))
		until(start, 30*time.Second)
		began := time.Now()
		p.Work(t.Context(), time.Second)
		if got := time.Since(began).Round(time.Millisecond); got != 10*time.Second {
			t.Errorf("1 s on a tenth of a core took %v", got)
		}
		until(start, 95*time.Second)
		p.Work(t.Context(), time.Hour)
		if got := time.Since(start).Round(time.Millisecond); got != 100*time.Second {
			t.Errorf("work ended at %v, want at the end of the fault", got)
		}
	})
}

func TestClockJump(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				p.serve(n, "server", 1, func(p *transporttest.Process) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						io.WriteString(w, time.Until(p.Now()).String())
					})
				})
				client := n.Host("client").Process()
				c := p.client(t, client)
				start := time.Now()
				n.Fault(
					transporttest.Fault{Kind: transporttest.ClockJump, On: "server-1", Jump: time.Hour, At: 10 * time.Second, For: 30 * time.Second},
					transporttest.Fault{Kind: transporttest.ClockJump, On: "server", Jump: -3 * time.Hour, At: 20 * time.Second, For: 10 * time.Second},
				)
				for _, step := range []struct{ at, want time.Duration }{
					{5 * time.Second, 0},
					{15 * time.Second, time.Hour},
					{25 * time.Second, -2 * time.Hour},
					{35 * time.Second, time.Hour},
					{45 * time.Second, 0},
				} {
					until(start, step.at)
					got := call(c, "http://server-1/", time.Minute)
					if got.body != step.want.String() {
						t.Errorf("at %v: the server's clock is %v off, want %v", step.at, got.body, step.want)
					}
					date, err := http.ParseTime(got.header.Get("Date"))
					if off := date.Sub(start.Add(step.at)).Round(2 * time.Second); err != nil || off != step.want {
						t.Errorf("at %v: Date is %v off, want %v (%v)", step.at, off, step.want, err)
					}
					if now := client.Now(); !now.Equal(time.Now()) {
						t.Errorf("at %v: the client's clock is %v off", step.at, time.Until(now))
					}
				}
			})
		})
	}
}

// What a process does after it has crashed does not reach the network.
func TestCrashedProcessIsCutOff(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		old := n.Host("server").Process()
		n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "server", At: time.Second, For: time.Second})
		time.Sleep(3 * time.Second)
		if old == n.Host("server").Process() {
			t.Fatal("there is no new process")
		}
		if _, err := server.Write([]byte("x")); !errors.Is(err, transporttest.ErrCrashed) {
			t.Errorf("write: %v, want ErrCrashed", err)
		}
		if _, err := old.Listen("0"); !errors.Is(err, transporttest.ErrCrashed) {
			t.Errorf("listen: %v, want ErrCrashed", err)
		}
		if _, err := old.Dial(t.Context(), "tcp", "client:80"); !errors.Is(err, transporttest.ErrCrashed) {
			t.Errorf("dial: %v, want ErrCrashed", err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the other side: %v, want a reset", err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the other side: %v, want a broken pipe", err)
		}
	})
}
