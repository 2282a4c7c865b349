package cart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// shopper fills and buys one cart after the other, asking any replica and, as
// a client of the service would, another one when a call fails.
type shopper struct {
	t        *testing.T
	replicas [2]*child
	client   *http.Client
	name     string
	visits   []visit
	calls    int
	bought   *atomic.Bool // somebody has, of all shoppers
}

// visit is one cart as the shopper was told it is.
type visit struct {
	cart  string
	items map[string]int
	said  map[string][]int // by product: every quantity that was acknowledged
	order orderJSON
}

// call repeats a request on one replica after the other until it is answered
// with a status below 500, and returns the answer.
func (s *shopper) call(ctx context.Context, method, path, body, key string) (int, string) {
	for try := rand.N(2); ctx.Err() == nil; try++ {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		status, answer, err := send(attempt, s.client, method, *s.replicas[try%2].url.Load()+path, body, "Idempotency-Key", key)
		cancel()
		if err == nil && status < 500 {
			s.calls++
			return status, answer
		}
	}
	return 0, ""
}

func (s *shopper) visit(ctx context.Context, n int) bool {
	key := fmt.Sprint(s.name, "-", n)
	status, body := s.call(ctx, "POST", "/carts", "", key)
	if status != 201 {
		return s.odd(ctx, "create", status, body)
	}
	var made struct{ ID string }
	decode(s.t, body, &made)
	v := visit{cart: made.ID, items: map[string]int{}, said: map[string][]int{}}
	for change := range 3 + rand.N(6) {
		product, n := fmt.Sprint("p", rand.N(4)), rand.N(10)
		path := "/carts/" + v.cart + "/items/" + product
		if status, body := s.call(ctx, "PUT", path, fmt.Sprintf(`{"quantity":%d}`, n), fmt.Sprint(key, "-", change)); status != 200 {
			return s.odd(ctx, "put", status, body)
		}
		v.said[product] = append(v.said[product], n)
		if v.items[product] = n; n == 0 {
			delete(v.items, product)
		}
	}
	if len(v.items) > 0 {
		status, body := s.call(ctx, "POST", "/carts/"+v.cart+"/checkout", "", key)
		if status != 200 && status != 201 {
			return s.odd(ctx, "checkout", status, body)
		}
		decode(s.t, body, &v.order)
		s.bought.Store(true)
	}
	s.visits = append(s.visits, v)
	return true
}

func (s *shopper) odd(ctx context.Context, what string, status int, body string) bool {
	if ctx.Err() == nil {
		s.t.Errorf("%s: got %d %s", what, status, body)
	}
	return false
}

// TestKilledReplicasLoseNothing kills one of two replicas again and again while
// carts are filled and bought. In the end both have every change that was
// acknowledged, each cart was ordered once, and the order has all that was in
// the cart. The last is not promised of a cart with a change that a replica
// which was up had not taken within half a second. The replicas log those: on a
// machine with time for them there are none.
func TestKilledReplicasLoseNothing(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 10
	}
	m := newMarket()
	replicas := processes(t, m)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	shoppers := make([]*shopper, 4)
	var wg sync.WaitGroup
	var bought atomic.Bool
	for i := range shoppers {
		s := &shopper{t: t, replicas: replicas, bought: &bought, client: &http.Client{Transport: &http.Transport{}}, name: fmt.Sprint("s", i)}
		t.Cleanup(s.client.CloseIdleConnections)
		shoppers[i] = s
		wg.Go(func() {
			for n := 0; ctx.Err() == nil && s.visit(ctx, n); n++ {
			}
		})
	}
	for n := 0; n < kills || !bought.Load() && !t.Failed(); n++ {
		<-time.After(rand.N(120 * time.Millisecond)) // any moment is a moment to die
		victim := replicas[rand.N(2)]
		victim.kill()
		victim.start()
	}
	stop()
	wg.Wait()
	m.check(t, replicas, shoppers)
}

// check holds what every replica has against what the shoppers were told.
func (m *market) check(t *testing.T, replicas [2]*child, shoppers []*shopper) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	early := ahead(replicas[0].log() + replicas[1].log())
	calls, carts, orders, loose := 0, 0, 0, 0
	for _, s := range shoppers {
		calls += s.calls
		for _, v := range s.visits {
			carts++
			for _, r := range replicas {
				eventually(t, "both replicas have read each other", func() bool {
					got, err := readCart(t, client, *r.url.Load(), v.cart)
					return err == nil && v.matches(got)
				})
			}
			if v.order.Order == "" {
				continue
			}
			orders++
			whole := v.sameLines(v.order.Lines)
			if early[v.cart] {
				loose++
				whole = v.saidLines(v.order.Lines)
			}
			if o := m.orderOf(v.cart); o.ID != v.order.Order || !whole {
				t.Errorf("cart %s: told order %+v of %v, the inventory has %+v", v.cart, v.order, v.items, o)
			}
		}
	}
	t.Logf("%d calls acknowledged, %d carts, %d orders, %d of them need not be whole", calls, carts, orders, loose)
	if carts == 0 || orders == 0 {
		t.Error("nobody bought anything")
	}
}

func readCart(t *testing.T, client *http.Client, url, id string) (c cartJSON, err error) {
	status, body, err := send(t.Context(), client, "GET", url+"/carts/"+id, "")
	if err == nil && status != 200 {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal([]byte(body), &c)
}

func (v visit) matches(c cartJSON) bool {
	told := c.Order == nil && v.order.Order == "" || c.Order != nil && c.Order.Order == v.order.Order
	return told && v.sameLines(c.Items)
}

func (v visit) sameLines(lines []lineJSON) bool {
	for _, l := range lines {
		if v.items[l.Product] != l.Quantity {
			return false
		}
	}
	return len(lines) == len(v.items)
}

// saidLines reports whether each line was acknowledged at some time.
func (v visit) saidLines(lines []lineJSON) bool {
	for _, l := range lines {
		if !slices.Contains(v.said[l.Product], l.Quantity) {
			return false
		}
	}
	return true
}

// TestStoppedReplicaDoesNotUndo: a replica that was stopped wakes with an old
// change in its sockets, which was repeated and overtaken elsewhere.
func TestStoppedReplicaDoesNotUndo(t *testing.T) {
	if testing.Short() {
		t.Skip("a process has to be stopped for 1.5 s")
	}
	replicas := processes(t, newMarket())
	a, b := replicas[0], replicas[1]
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	must := func(r *child, status int, method, path, body string) (answer string) {
		t.Helper()
		var got int
		var err error
		// One that was given no CPU for a second takes itself for stopped.
		eventually(t, "it has caught up", func() bool {
			got, answer, err = send(t.Context(), client, method, *r.url.Load()+path, body)
			return err != nil || got != http.StatusServiceUnavailable
		})
		if err != nil || got != status {
			t.Fatalf("%s %s: got %d %s %v, want %d", method, path, got, answer, err, status)
		}
		return answer
	}
	var made struct{ ID string }
	decode(t, must(a, 201, "POST", "/carts", ""), &made)
	mug := "/carts/" + made.ID + "/items/mug"
	eventually(t, "the other replica has the cart", func() bool {
		_, err := readCart(t, client, *b.url.Load(), made.ID)
		return err == nil
	})

	signal(t, a, syscall.SIGSTOP)
	awaitStop(t, a)
	old := make(chan string, 20)
	var sent sync.WaitGroup
	sent.Add(cap(old))
	for range cap(old) {
		go func() {
			done := sync.OnceFunc(sent.Done)
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				WroteRequest: func(httptrace.WroteRequestInfo) { done() },
			})
			status, body, err := send(ctx, client, "PUT", *a.url.Load()+mug, `{"quantity":1}`)
			old <- fmt.Sprint(status, " ", err, " ", body)
		}()
	}
	sent.Wait()
	<-time.After(maxGap + 500*time.Millisecond)
	must(b, 200, "PUT", mug, `{"quantity":1}`)
	must(b, 200, "PUT", mug, `{"quantity":7}`)
	signal(t, a, syscall.SIGCONT)
	if answer := must(a, 200, "GET", "/carts/"+made.ID, ""); !strings.Contains(answer, `"quantity":7`) {
		t.Errorf("right after it goes on: got %s, want what the other replica knows", answer)
	}
	for range cap(old) {
		if answer := <-old; !strings.HasPrefix(answer, "503 ") {
			t.Errorf("old change: got %s, want 503", answer)
		}
	}
	for _, r := range replicas {
		if answer := must(r, 200, "GET", "/carts/"+made.ID, ""); !strings.Contains(answer, `"quantity":7`) {
			t.Errorf("got %s, want 7 mugs", answer)
		}
	}
}

// awaitStop waits until a child that was sent SIGSTOP has stopped: before,
// some of its threads go on for a moment.
func awaitStop(t *testing.T, c *child) {
	t.Helper()
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(c.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || !status.Stopped():
			t.Fatalf("wait for the stop: %v, status %v", err, status)
		default:
			return
		}
	}
}

func signal(t *testing.T, c *child, sig syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}
