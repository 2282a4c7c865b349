package transporttest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// Clients with a bug each, the scenario that brings it out, and how it shows:
//
//	bug                            scenario                                shows in
//	retries without a budget       every replica answers 503               attempts per call
//	breaker counts cancellations   some callers give up early              patient callers are refused
//	P2C draws with replacement     one replica of five is frozen           share of its attempts (1/25)
//	hedge goes to the same host    one replica of three is slow            99 % quantile
//	done is lost after an error    one replica crashes and comes back      share of its attempts
//	a POST is sent again           answers are lost                        orders that were placed twice
//	round robin from the first     thirty clients start                    share of the first replica
//
// The kit catches each of them, and finds none in gabion's client.
func TestPlantedBugs(t *testing.T) {
	for name, c := range map[string]struct {
		bug   transporttest.Via
		check func(t *testing.T, n *transporttest.Network, via transporttest.Via) error
	}{
		"retries without a budget":     {plant(retryStorm), checkAmplification},
		"breaker counts cancellations": {plantBreaker, checkPatience},
		"P2C draws with replacement":   {plant(withReplacement), checkFrozen},
		"hedge goes to the same host":  {plant(hedgeSame), checkTail},
		"done is lost after an error":  {plant(loseDone), checkReturn},
		"a POST is sent again":         {plant(retryAll), checkOrders},
		"round robin from the first":   {plant(fromTheFirst), checkStart},
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				if err := c.check(t, n, c.bug); err == nil {
					t.Error("the bug was not caught")
				} else {
					t.Log("caught:", err)
				}
			})
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				if err := c.check(t, n, transporttest.Gabion); err != nil {
					t.Errorf("gabion's client: %v", err)
				}
			})
		})
	}
}

// checkAmplification: when all is down, retries may add a fifth, and not more.
func checkAmplification(_ *testing.T, n *transporttest.Network, via transporttest.Via) error {
	n.Serve("server", 3, hello)
	n.Fault(transporttest.Fault{Kind: transporttest.Status, Status: 503, On: "server", At: 5 * time.Second, For: 10 * time.Second})
	r := n.RunVia(via, load.Load{Client: "web", Service: "server", Rate: 50, For: 15 * time.Second}).Between(6*time.Second, 15*time.Second)
	if got := r.AttemptsPerCall; got > 1.2 {
		return fmt.Errorf("%.2f attempts per call while all fail, want at most 1.20", got)
	}
	return nil
}

// checkPatience: callers who hang up say nothing about the service.
func checkPatience(t *testing.T, n *transporttest.Network, via transporttest.Via) error {
	n.Serve("server", 3, func(p *transporttest.Process) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { p.Work(r.Context(), 100*time.Millisecond) })
	})
	client := via(n.Host("web").Process())
	ask := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/", nil)
		if err != nil {
			return err
		}
		resp, err := client.RoundTrip(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	}
	var wg sync.WaitGroup
	var failed atomic.Int32
	for i := range 500 {
		ctx, hangUp := context.WithCancel(t.Context())
		if i%10 != 0 {
			time.AfterFunc(50*time.Millisecond, hangUp)
		}
		wg.Go(func() {
			defer hangUp()
			if err := ask(ctx); err != nil && i%10 == 0 {
				failed.Add(1)
			}
		})
		time.Sleep(10 * time.Millisecond)
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		return fmt.Errorf("%d of 50 patient calls failed, want none", n)
	}
	return nil
}

// checkFrozen: a replica that answers nothing is left alone.
func checkFrozen(_ *testing.T, n *transporttest.Network, via transporttest.Via) error {
	n.Serve("server", 5, hello)
	n.Fault(transporttest.Fault{Kind: transporttest.Pause, On: "server-1", At: 5 * time.Second, For: 20 * time.Second})
	r := n.RunVia(via, load.Load{Client: "web", Service: "server", Rate: 100, For: 24 * time.Second}).Between(10*time.Second, 24*time.Second)
	if got := share(r.ByReplica, "server-1"); got > 0.01 {
		return fmt.Errorf("%.1f %% of the attempts went to a frozen replica, want at most 1 %%", 100*got)
	}
	return nil
}

// checkTail: one slow replica does not make one call in a hundred slow.
func checkTail(_ *testing.T, n *transporttest.Network, via transporttest.Via) error {
	n.Serve("server", 3, hello)
	n.Fault(transporttest.Fault{Kind: transporttest.Slow, Latency: dist.Constant(time.Second), On: "server-2", At: 5 * time.Second})
	r := n.RunVia(via, load.Load{Client: "web", Service: "server", Rate: 100, For: 20 * time.Second}).Between(6*time.Second, 20*time.Second)
	if r.P99 > 200*time.Millisecond {
		return fmt.Errorf("99 %% of the calls take up to %v with one slow replica, want 200ms", r.P99)
	}
	return nil
}

// checkReturn: a replica that is back gets its share again.
func checkReturn(_ *testing.T, n *transporttest.Network, via transporttest.Via) error {
	n.Serve("server", 3, hello)
	n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "server-3", At: 5 * time.Second, For: 5 * time.Second})
	r := n.RunVia(via, load.Load{Client: "web", Service: "server", Rate: 50, For: 60 * time.Second}).Between(45*time.Second, 60*time.Second)
	if got := share(r.ByReplica, "server-3"); got < 0.15 {
		return fmt.Errorf("%.1f %% of the attempts go to a replica that is back, want a third", 100*got)
	}
	return nil
}

// checkOrders: what has an effect is sent once, whatever becomes of the answer.
func checkOrders(_ *testing.T, n *transporttest.Network, via transporttest.Via) error {
	var mu sync.Mutex
	orders := map[string]int{}
	n.Serve("server", 3, func(*transporttest.Process) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			orders[r.Header.Get("X-Order")]++
			mu.Unlock()
			fmt.Fprint(w, "placed")
		})
	})
	n.Host("web")
	n.Fault(
		transporttest.Fault{Kind: transporttest.Reset, From: "server", To: "web", OneWay: true, Probability: 0.1, At: time.Second, For: 10 * time.Second},
		transporttest.Fault{Kind: transporttest.Crash, On: "server-1", At: 5 * time.Second, For: 5 * time.Second},
	)
	n.RunVia(via, load.Load{
		Client: "web", Service: "server", Method: http.MethodPost, Body: "1 teapot",
		Header: map[string]string{"X-Order": load.AutoKey}, Rate: 50, For: 15 * time.Second,
	})
	twice := 0
	for _, times := range orders {
		if times > 1 {
			twice++
		}
	}
	if twice > 0 {
		return fmt.Errorf("%d of %d orders were placed twice, want none", twice, len(orders))
	}
	return nil
}

// checkStart: clients that all start at once do not all meet at one replica.
func checkStart(_ *testing.T, n *transporttest.Network, via transporttest.Via) error {
	n.Serve("server", 5, hello)
	var loads []load.Load
	for i := range 30 {
		loads = append(loads, load.Load{Client: fmt.Sprint("web-", i), Service: "server", Kind: load.Constant, Rate: 1, For: 2 * time.Second})
	}
	r := n.RunVia(via, loads...)
	if got := share(r.ByReplica, "server-1"); got > 0.4 {
		return fmt.Errorf("%.0f %% of the first attempts of 30 clients went to one replica of five, want about 20 %%", 100*got)
	}
	return nil
}

// A flawed is a client of its own make that sends to the replicas of one
// service, as the registry lists them, and has a bug.
type flawed struct {
	process   *transporttest.Process
	transport *http.Transport
	rand      *rand.Rand
	send      func(c *flawed, req *http.Request) (*http.Response, error)

	mu       sync.Mutex
	replicas []string
	inFlight map[string]int
	next     int
}

func plant(send func(*flawed, *http.Request) (*http.Response, error)) transporttest.Via {
	return func(p *transporttest.Process) http.RoundTripper {
		c := &flawed{
			process: p, transport: &http.Transport{DialContext: p.Dial, MaxIdleConnsPerHost: 100},
			rand: rand.New(p.Rand()), send: send, inFlight: map[string]int{},
		}
		p.OnStop(c.transport.CloseIdleConnections)
		return c
	}
}

func (c *flawed) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil { // so that it can be sent again
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
	if err := c.resolve(req.Context(), req.URL.Hostname()); err != nil {
		return nil, err
	}
	return c.send(c, req)
}

// resolve asks the registry once, at the first call.
func (c *flawed) resolve(ctx context.Context, service string) error {
	c.mu.Lock()
	known := len(c.replicas) > 0
	c.mu.Unlock()
	if known {
		return nil
	}
	backend := c.process.Registry()
	defer backend.Close()
	for list, err := range backend.Watch(ctx, service) {
		if err == nil && len(list) > 0 {
			c.mu.Lock()
			c.replicas = nil
			for _, in := range list {
				c.replicas = append(c.replicas, in.Addr)
			}
			c.mu.Unlock()
			return nil
		}
	}
	return ctx.Err()
}

// to sends req to one replica.
func (c *flawed) to(req *http.Request, replica string) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.URL.Host = replica
	if req.GetBody != nil {
		out.Body, _ = req.GetBody() // never fails
	}
	return c.transport.RoundTrip(out)
}

func (c *flawed) any() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replicas[c.rand.IntN(len(c.replicas))]
}

func failed(resp *http.Response, err error) bool { return err != nil || resp.StatusCode >= 500 }

// retryStorm tries ten times whatever happens elsewhere.
func retryStorm(c *flawed, req *http.Request) (resp *http.Response, err error) {
	for range 10 {
		if resp, err = c.to(req, c.any()); !failed(resp, err) {
			break
		}
	}
	return resp, err
}

// retryAll tries three times, whether or not that is harmless.
func retryAll(c *flawed, req *http.Request) (resp *http.Response, err error) {
	for range 3 {
		if resp, err = c.to(req, c.any()); !failed(resp, err) {
			break
		}
	}
	return resp, err
}

// withReplacement may draw the same replica twice, and then compares it to
// itself.
func withReplacement(c *flawed, req *http.Request) (*http.Response, error) {
	a, b := c.any(), c.any()
	c.mu.Lock()
	if c.inFlight[b] < c.inFlight[a] {
		a = b
	}
	c.inFlight[a]++
	c.mu.Unlock()
	resp, err := c.to(req, a)
	c.mu.Lock()
	c.inFlight[a]--
	c.mu.Unlock()
	return resp, err
}

// loseDone takes the least loaded, and forgets to count the end of calls that
// fail.
func loseDone(c *flawed, req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	first := c.rand.IntN(len(c.replicas)) // so that ties are spread
	least := c.replicas[first]
	for i := range c.replicas {
		if r := c.replicas[(first+i)%len(c.replicas)]; c.inFlight[r] < c.inFlight[least] {
			least = r
		}
	}
	c.inFlight[least]++
	c.mu.Unlock()
	resp, err := c.to(req, least)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.inFlight[least]--
	c.mu.Unlock()
	return resp, nil
}

// hedgeSame sends a second request after 50 ms, to the replica that is slow.
func hedgeSame(c *flawed, req *http.Request) (*http.Response, error) {
	type result struct {
		resp *http.Response
		err  error
	}
	results := make(chan result, 2)
	replica := c.any()
	send := func() {
		resp, err := c.to(req, replica)
		results <- result{resp, err}
	}
	go send()
	select {
	case r := <-results:
		return r.resp, r.err
	case <-time.After(50 * time.Millisecond):
	}
	go send()
	r := <-results
	go func() {
		if late := <-results; late.err == nil {
			io.Copy(io.Discard, late.resp.Body)
			late.resp.Body.Close()
		}
	}()
	return r.resp, r.err
}

// fromTheFirst goes through the replicas in their order.
func fromTheFirst(c *flawed, req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	replica := c.replicas[c.next%len(c.replicas)]
	c.next++
	c.mu.Unlock()
	return c.to(req, replica)
}

// plantBreaker opens for a second after five errors in a row, of whatever kind.
func plantBreaker(p *transporttest.Process) http.RoundTripper {
	var mu sync.Mutex
	row, until := 0, time.Time{}
	return plant(func(c *flawed, req *http.Request) (*http.Response, error) {
		mu.Lock()
		open := time.Now().Before(until)
		mu.Unlock()
		if open {
			return nil, errors.New("the breaker is open")
		}
		resp, err := c.to(req, c.any())
		mu.Lock()
		defer mu.Unlock()
		if row++; err == nil {
			row = 0
		}
		if row >= 5 {
			row, until = 0, time.Now().Add(time.Second)
		}
		return resp, err
	})(p)
}

// share is the part of all attempts that a replica got.
func share(replicas []report.Replica, name string) float64 {
	mine, all := 0, 0
	for _, r := range replicas {
		if all += r.Attempts; r.Replica == name {
			mine += r.Attempts
		}
	}
	return float64(mine) / float64(max(1, all))
}
