package storefront_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/cart"
	"github.com/gabion-go/gabion/examples/shop/catalog"
	"github.com/gabion-go/gabion/examples/shop/inventory"
	"github.com/gabion-go/gabion/examples/shop/kit"
	"github.com/gabion-go/gabion/examples/shop/pricing"
	"github.com/gabion-go/gabion/examples/shop/storefront"
)

// running is a whole shop on loopback, one instance of each service.
type running struct {
	t      *testing.T
	dir    string
	public map[string]string // addresses by service
	admin  map[string]string
}

// start runs a service that finds those started before it, until the test ends.
func (s *running) start(name string, run func(context.Context, []gabion.Option) error) {
	s.t.Helper()
	var services []string
	for _, other := range slices.Sorted(maps.Keys(s.public)) {
		services = append(services, other+"="+s.public[other])
	}
	ready := make(chan *gabion.Service, 1)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context())) // ended in order, by the cleanup
	go func() {
		ended <- run(ctx, []gabion.Option{
			gabion.WithGetenv(func(string) string { return "" }),
			gabion.WithDiscovery("static:" + strings.Join(services, ";")),
			gabion.WithDrainDelay(0),
			gabion.WithLogger(slog.New(slog.DiscardHandler)),
			gabion.WithOnReady(func(svc *gabion.Service) { ready <- svc }),
		})
	}()
	select {
	case svc := <-ready:
		s.public[name], s.admin[name] = svc.Addr(), svc.AdminAddr()
	case err := <-ended:
		s.t.Fatalf("%s ended: %v", name, err)
	}
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("%s ended: %v", name, err)
		}
	})
}

func startShop(t *testing.T) *running {
	s := &running{t: t, dir: t.TempDir(), public: map[string]string{}, admin: map[string]string{}}
	s.start("catalog", func(ctx context.Context, opts []gabion.Option) error {
		return catalog.Run(ctx, catalog.Config{DataDir: s.dir, Replica: 1, Options: opts})
	})
	s.start("pricing", func(ctx context.Context, opts []gabion.Option) error {
		return pricing.Run(ctx, pricing.Config{Replica: 1, Options: opts})
	})
	s.start("inventory", func(ctx context.Context, opts []gabion.Option) error {
		return inventory.Run(ctx, inventory.Config{DataDir: s.dir, Replica: 1, Options: opts})
	})
	s.start("cart", func(ctx context.Context, opts []gabion.Option) error {
		return cart.Run(ctx, cart.Config{DataDir: s.dir, Replica: 1, Options: opts})
	})
	s.start("storefront", func(ctx context.Context, opts []gabion.Option) error {
		return storefront.Run(ctx, storefront.Config{Replica: 1, Options: opts})
	})
	return s
}

// call sends a request to addr and returns the status and the body.
func (s *running) call(method, addr, path, body string, header ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// want calls the storefront and fails the test unless it answers with status
// and a body that has all of parts in it. On a busy machine a neighbour may be
// too late for the answer, which then says so, or lacks something: what may be
// asked again is.
func (s *running) want(status int, method, path, body, key string, parts ...string) string {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		got, answer := s.call(method, s.public["storefront"], path, body, "Idempotency-Key", key)
		missing := slices.DeleteFunc(slices.Clone(parts), func(part string) bool { return strings.Contains(answer, part) })
		if got == status && len(missing) == 0 {
			return answer
		}
		if again := method == http.MethodGet || got == http.StatusServiceUnavailable; !again || time.Now().After(deadline) {
			s.t.Fatalf("%s %s: got %d %s, want %d with %q", method, path, got, answer, status, missing)
		}
	}
}

// The five services as they run, through gabion: browsing, buying, and what
// the shop does when pricing fails.
func TestShop(t *testing.T) {
	s := startShop(t)
	s.want(200, "GET", "/", "", "", "Enamel mug", "In stock", "</html>")
	s.want(200, "GET", "/api/products/oak-stool", "", "", `"amount":9800`, `"recommendations"`)
	s.want(404, "GET", "/api/products/anvil", "", "", "/problems/not-found")

	var made struct{ ID string }
	if err := json.Unmarshal([]byte(s.want(201, "POST", "/api/carts", "", "")), &made); err != nil {
		t.Fatal(err)
	}
	mine := "/api/carts/" + made.ID
	s.want(200, "PUT", mine+"/items/oak-stool", `{"quantity":2}`, "", `"quantity":2`)
	s.want(200, "PUT", mine+"/items/gabion-basket", `{"quantity":13}`, "")
	s.want(422, "PUT", mine+"/items/oak-stool", `{"quantity":-1}`, "")
	s.want(409, "POST", mine+"/checkout", "", "k1", "/problems/insufficient-stock", `"product":"gabion-basket"`, `"available":12`)
	s.want(200, "DELETE", mine+"/items/gabion-basket", "", "")
	s.want(200, "GET", mine, "", "", `"name":"Oak stool"`, `"total":{"amount":19600,"currency":"EUR"}`)

	s.fault("pricing", `{"mode":"fail"}`)
	s.want(200, "GET", "/api/products", "", "", `"degraded":["pricing"]`, `"stale":true`)
	s.want(200, "GET", "/", "", "", "last known price")
	s.want(503, "POST", mine+"/checkout", "", "k2", "/problems/pricing-unavailable")
	s.fault("pricing", `{"mode":"none"}`)
	s.recovered()

	first := s.want(201, "POST", mine+"/checkout", "", "k2", `"order":"G-`, `"amount":19600`)
	if again := s.want(200, "POST", mine+"/checkout", "", "k2"); again != first {
		t.Errorf("the same checkout: got %s, then %s", first, again)
	}
	s.want(409, "POST", mine+"/checkout", "", "k3", "/problems/already-ordered")
	if _, stock := s.call("GET", s.public["inventory"], "/v1/stock/oak-stool", ""); !strings.Contains(stock, `"available":999998`) {
		t.Errorf("two stools were sold once: %s", stock)
	}
}

func (s *running) fault(service, body string) {
	s.t.Helper()
	if status, answer := s.call("PUT", s.admin[service], kit.FaultPath, body); status != 200 {
		s.t.Fatalf("fault %s: got %d %s", body, status, answer)
	}
	if status, answer := s.call("GET", s.admin[service], "/readyz", ""); status != 200 {
		s.t.Errorf("a service with a fault is not ready: %d %s", status, answer)
	}
}

// recovered waits until both callers of pricing, storefront and cart, call it
// again: their circuits open for a while, and then let single probes pass.
func (s *running) recovered() {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for i := 0; time.Now().Before(deadline); i++ {
		_, list := s.call("GET", s.public["storefront"], "/api/products", "")
		if !strings.Contains(list, `"degraded"`) && s.probeOrder(i) {
			return
		}
		time.Sleep(100 * time.Millisecond) // a real circuit takes real time to close
	}
	s.t.Fatal("pricing is well and is not called again")
}

// probeOrder buys a mug with a cart of its own and reports whether that worked.
func (s *running) probeOrder(i int) bool {
	s.t.Helper()
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(s.want(201, "POST", "/api/carts", "", "")), &made); err != nil {
		s.t.Fatal(err)
	}
	s.want(200, "PUT", "/api/carts/"+made.ID+"/items/enamel-mug", `{"quantity":1}`, "")
	status, _ := s.call("POST", s.public["storefront"], "/api/carts/"+made.ID+"/checkout", "", "Idempotency-Key", fmt.Sprint("probe-", i))
	return status == 201
}
