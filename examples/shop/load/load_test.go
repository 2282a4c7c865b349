package load

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// fakeShop is a storefront in memory that can break its promises. It and the
// load on it belong in a synctest bubble: what the load does in a second then
// does not depend on the machine.
type fakeShop struct {
	loseItems, doubleOrders, sameOrder, forgetCarts, refuseRepeats bool
	soldOut                                                        bool
	fail                                                           func(r *http.Request) int // status, 0 to serve
	stall                                                          time.Duration             // product pages hang for so long after the start

	conns  chan net.Conn // dialled and not yet accepted
	closed chan struct{}

	mu     sync.Mutex
	carts  map[string]map[string]int
	orders map[string]string
	count  int
}

// target is where all fake shops are.
const target = "http://127.0.0.1"

func (f *fakeShop) start(t *testing.T) {
	t.Helper()
	f.conns, f.closed = make(chan net.Conn), make(chan struct{})
	began := time.Now()
	f.carts, f.orders = map[string]map[string]int{}, map[string]string{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/products", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"products":[{"id":"tea"},{"id":"cup"},{"id":"pot"}]}`)
	})
	mux.HandleFunc("GET /api/products/{id}", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Until(began.Add(f.stall)))
		w.Header().Set("X-Shop-Degraded", "inventory")
		io.WriteString(w, `{}`)
	})
	mux.HandleFunc("POST /api/carts", f.create)
	mux.HandleFunc("GET /api/carts/{id}", f.read)
	mux.HandleFunc("PUT /api/carts/{id}/items/{product}", f.put)
	mux.HandleFunc("POST /api/carts/{id}/checkout", f.checkout)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Millisecond)
		if f.fail != nil {
			if status := f.fail(r); status != 0 {
				w.WriteHeader(status)
				io.WriteString(w, `{"title":"out of order"}`)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(f) })
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
}

// dial connects to the shop.
func (f *fakeShop) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case f.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr make the shop a listener.
func (f *fakeShop) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *fakeShop) Close() error   { close(f.closed); return nil }
func (f *fakeShop) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (f *fakeShop) create(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := fmt.Sprint("c", len(f.carts))
	f.carts[id] = map[string]int{}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"id":%q}`, id)
}

func (f *fakeShop) put(w http.ResponseWriter, r *http.Request) {
	var body struct{ Quantity int }
	if json.NewDecoder(r.Body).Decode(&body) != nil || body.Quantity < 1 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.loseItems {
		f.carts[r.PathValue("id")][r.PathValue("product")] = body.Quantity
	}
}

func (f *fakeShop) read(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.forgetCarts {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	type line struct {
		Product  string `json:"product"`
		Quantity int    `json:"quantity"`
	}
	items := []line{}
	for product, quantity := range f.carts[r.PathValue("id")] {
		items = append(items, line{product, quantity})
	}
	json.NewEncoder(w).Encode(map[string]any{"items": items})
}

func (f *fakeShop) checkout(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	order, repeated := f.orders[key]
	switch {
	case f.soldOut, repeated && f.refuseRepeats:
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"title":"out of stock"}`)
		return
	case !repeated || f.doubleOrders:
		f.count++
		order = fmt.Sprint("o", f.count)
	}
	if f.sameOrder {
		order = "o1"
	}
	f.orders[key] = order
	fmt.Fprintf(w, `{"order":%q}`, order)
}

// run opens shop and makes a load on it.
func run(t *testing.T, shop *fakeShop, cfg Config) (r *Report) {
	t.Helper()
	cfg.Target, cfg.Seed, cfg.Think, cfg.Timeout = target, 7, time.Millisecond, 5*time.Second
	cfg.Rate = cmp.Or(cfg.Rate, 500)
	cfg.Duration = cmp.Or(cfg.Duration, 600*time.Millisecond)
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, 100)
	if cfg.dial == nil {
		cfg.dial = shop.dial
	}
	synctest.Test(t, func(t *testing.T) {
		shop.start(t)
		var err error
		if r, err = Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

func TestGoodShop(t *testing.T) {
	shop := &fakeShop{}
	r := run(t, shop, Config{})
	if r.Total.Calls < 200 || r.Total.Good != r.Total.Calls || r.Missed != 0 {
		t.Errorf("total %+v, missed %d", r.Total, r.Missed)
	}
	if r.Err() != nil || len(r.Errors) > 0 || len(r.Refusals) > 0 {
		t.Errorf("violations %v, errors %v, refusals %v", r.Violations, r.Errors, r.Refusals)
	}
	if r.Orders == 0 || r.Orders != shop.count {
		t.Errorf("%d orders seen, %d placed", r.Orders, shop.count)
	}
	if r.Degraded["inventory"] == 0 {
		t.Errorf("degraded %v", r.Degraded)
	}
	calls := map[string]int{}
	for _, c := range r.Calls {
		calls[c.Name] = c.Share.Calls
		if c.P50 > c.P90 || c.P90 > c.P99 || c.P99 > c.P999 || c.P999 > c.Max || c.Max == 0 {
			t.Errorf("%s: latency %+v", c.Name, c.Latency)
		}
	}
	for _, name := range []string{"list products", "show product", "create cart", "put item", "read cart", "checkout", "repeat checkout"} {
		if calls[name] == 0 {
			t.Errorf("no %q among %v", name, calls)
		}
	}
}

func TestViolations(t *testing.T) {
	for want, shop := range map[string]*fakeShop{
		"were acknowledged, 0 are there":      {loseItems: true},
		"yielded two orders":                  {doubleOrders: true},
		"was given to two checkouts":          {sameOrder: true},
		"was acknowledged and is not there":   {forgetCarts: true},
		"its repetition was refused with 409": {refuseRepeats: true},
	} {
		t.Run(want, func(t *testing.T) {
			r := run(t, shop, Config{})
			if !errors.Is(r.Err(), ErrViolations) || !strings.Contains(strings.Join(r.Violations, "\n"), want) {
				t.Errorf("violations %v", r.Violations)
			}
		})
	}
}

func TestFailuresAreNoViolations(t *testing.T) {
	var mu sync.Mutex
	calls := 0
	shop := &fakeShop{fail: func(*http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		calls++
		if calls%4 == 0 {
			return http.StatusServiceUnavailable
		}
		return 0
	}}
	r := run(t, shop, Config{})
	if r.Err() != nil {
		t.Errorf("violations %v", r.Violations)
	}
	if r.Total.Percent < 70 || r.Total.Percent > 80 {
		t.Errorf("success %v, want about 75 %%", r.Total)
	}
	if len(r.Errors) == 0 || !strings.HasSuffix(r.Errors[0].Kind, ": 503 out of order") || r.Errors[0].First > r.Errors[0].Last {
		t.Errorf("errors %+v", r.Errors)
	}
}

func TestRefusalIsNoFailure(t *testing.T) {
	shop := &fakeShop{soldOut: true}
	r := run(t, shop, Config{})
	if r.Total.Good != r.Total.Calls || r.Err() != nil || r.Orders != 0 {
		t.Errorf("total %v, violations %v, orders %d", r.Total, r.Violations, r.Orders)
	}
	if len(r.Refusals) != 1 || r.Refusals[0].Kind != "checkout: 409 out of stock" {
		t.Errorf("refusals %+v", r.Refusals)
	}
}

func TestSlowAnswersDoNotHoldBackOthers(t *testing.T) {
	shop := &fakeShop{stall: time.Second} // until the load is over
	r := run(t, shop, Config{Duration: time.Second, Constant: true, MaxInFlight: 1000})
	if r.Total.Calls != 500 {
		t.Errorf("%d calls, want 500 whatever hangs", r.Total.Calls)
	}
	if r.Latency.Max < 500 {
		t.Errorf("max %.1f ms hides the stall", r.Latency.Max)
	}
}

func TestMissedCallsAreCounted(t *testing.T) {
	shop := &fakeShop{stall: time.Second}
	r := run(t, shop, Config{Duration: time.Second, Constant: true, MaxInFlight: 5})
	if r.Missed == 0 || r.Total.Calls+r.Missed != 500 {
		t.Errorf("%d calls and %d missed, want 500 together", r.Total.Calls, r.Missed)
	}
}

func TestEndingEarlyReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shop := &fakeShop{}
		shop.start(t)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		r, err := Run(ctx, Config{
			Target: target, Rate: 200, Duration: time.Hour, MaxInFlight: 10,
			Timeout: time.Second, Think: time.Millisecond, dial: shop.dial,
		})
		if err != nil || r.Total.Calls == 0 || r.Total.Good != r.Total.Calls {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestNobodyThere(t *testing.T) {
	refuse := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	r := run(t, &fakeShop{}, Config{Duration: 100 * time.Millisecond, dial: refuse})
	if r.Total.Calls == 0 || r.Total.Good != 0 || len(r.Errors) != 1 || r.Errors[0].Kind != "list products: connection refused" {
		t.Errorf("total %v, errors %+v", r.Total, r.Errors)
	}
}

// Over sockets, as the command does it.
func TestSockets(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	r, err := Run(t.Context(), Config{
		Target: server.URL, Rate: 1000, Duration: 10 * time.Millisecond, Constant: true,
		MaxInFlight: 10, Timeout: time.Minute, Think: time.Millisecond,
	})
	if err != nil || r.Total.Calls+r.Missed != 10 || len(r.Errors) != 1 || r.Errors[0].Kind != "list products: 404" {
		t.Errorf("%+v, %v", r, err)
	}
}

func registry(t *testing.T) launch.Registry {
	t.Helper()
	r, err := launch.RegistryIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCommand(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		err  string // "" for none
		out  string
		shop *fakeShop // nil for a good one
	}{
		"text":           {args: []string{"-target", target, "-for", "1100ms", "-rate", "300"}, out: "violations: none"},
		"json":           {args: []string{"-target", target, "-for", "200ms", "-format", "json"}, out: `"p999_ms": `},
		"violations":     {args: []string{"-target", target, "-for", "500ms", "-rate", "500", "-think", "1ms"}, err: "broke its word", out: "VIOLATIONS: ", shop: &fakeShop{doubleOrders: true}},
		"not loopback":   {args: []string{"-target", "http://shop.example.com"}, err: "is not on this machine"},
		"other machine":  {args: []string{"-target", "http://10.1.2.3:80"}, err: "is not on this machine"},
		"no URL":         {args: []string{"-target", "localhost:8080"}, err: "must be like http://127.0.0.1:8080"},
		"rate":           {args: []string{"-target", target, "-rate", "-1"}, err: "rate -1: must be above 0"},
		"format":         {args: []string{"-target", target, "-format", "xml"}, err: "must be text or json"},
		"stray word":     {args: []string{"fast"}, err: `what is "fast"`},
		"no shop":        {err: "no shop is running; start one with: go run ./examples/shop"},
		"all are joined": {args: []string{"-target", target, "-for", "0s", "-inflight", "0"}, err: "0 calls in flight"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shop := cmp.Or(tc.shop, &fakeShop{})
				shop.start(t)
				var stdout, stderr bytes.Buffer
				err := command(t.Context(), registry(t), tc.args, &stdout, &stderr, shop.dial)
				if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				if !strings.Contains(stdout.String(), tc.out) {
					t.Errorf("no %q in\n%s", tc.out, &stdout)
				}
				if name == "text" && !strings.Contains(stderr.String(), "calls  0 failed") {
					t.Errorf("no progress in\n%s", &stderr)
				}
			})
		})
	}
}

func TestCommandHelp(t *testing.T) {
	var stderr bytes.Buffer
	if err := Command(t.Context(), registry(t), []string{"-h"}, io.Discard, &stderr); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(stderr.String(), "-rate") || !strings.Contains(stderr.String(), "usage: shop load") {
		t.Errorf("help reads\n%s", &stderr)
	}
}
