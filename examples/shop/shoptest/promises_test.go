package shoptest

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	tt "github.com/gabion-go/gabion/transport/transporttest"
)

// What the shop promises when something is down, one failure at a time.

func TestWithoutPricingThePricesAreTheLastOnes(t *testing.T) {
	Test(t, func(t *testing.T, s *Shop) {
		b := s.Browser("browser")
		cart := b.fill(t)
		s.Net.Fault(tt.Fault{Kind: tt.Crash, On: "pricing", For: 10 * time.Second})
		time.Sleep(time.Second)

		b.Get("/api/products").want(t, http.StatusOK, "pricing", `"amount":1450,"currency":"EUR","stale":true,"as_of":`)
		b.Get("/").want(t, http.StatusOK, "pricing", "Prices cannot be confirmed right now.")
		b.Do(http.MethodPost, cart+"/checkout", "k1", "").want(t, http.StatusServiceUnavailable, "", "/problems/pricing-unavailable", "Nothing was ordered")

		time.Sleep(15 * time.Second)
		b.Do(http.MethodPost, cart+"/checkout", "k1", "").want(t, http.StatusCreated, "", `"order":"G-`)
		b.Get("/api/products").want(t, http.StatusOK, "", `"amount":1450,"currency":"EUR"}`)
	})
}

func TestWithoutInventoryAvailabilityIsUnknown(t *testing.T) {
	Test(t, func(t *testing.T, s *Shop) {
		b := s.Browser("browser")
		cart := b.fill(t)
		s.Net.Fault(tt.Fault{Kind: tt.BlackHole, To: "inventory", For: 10 * time.Second})
		time.Sleep(time.Second)

		b.Get("/api/products").want(t, http.StatusOK, "inventory", `"availability":"unknown"`)
		b.Get("/").want(t, http.StatusOK, "inventory", "availability is unknown")
		b.Do(http.MethodPost, cart+"/checkout", "k1", "").want(t, http.StatusServiceUnavailable, "", "never ordered twice")

		time.Sleep(20 * time.Second)
		b.Do(http.MethodPost, cart+"/checkout", "k1", "").want(t, http.StatusCreated, "", `"order":"G-`)
		b.Get("/api/products").want(t, http.StatusOK, "", `"availability":"in_stock"`)
	})
}

func TestWithoutTheCatalogProductsAreThoseRemembered(t *testing.T) {
	Test(t, func(t *testing.T, s *Shop) {
		b := s.Browser("browser")
		b.Get("/api/products/enamel-mug").want(t, http.StatusOK, "", `"recommendations":[`)
		s.Net.Fault(tt.Fault{Kind: tt.Pause, On: "catalog", For: 10 * time.Second})
		time.Sleep(time.Second)

		b.Get("/api/products").want(t, http.StatusOK, "catalog", `"stale":true`, `"name":"Enamel mug"`)
		detail := b.Get("/api/products/enamel-mug")
		detail.want(t, http.StatusOK, "catalog, recommendations", `"name":"Enamel mug"`)
		if strings.Contains(detail.Body, "recommendations\":[") {
			t.Errorf("recommendations from nowhere: %s", detail.Body)
		}
		b.fill(t) // whoever knows what to buy can buy it
	})
}

func TestWithoutAnyNeighbourThereIsAPage(t *testing.T) {
	Test(t, func(t *testing.T, s *Shop) {
		b := s.Direct("browser", "storefront-1")
		for _, service := range []string{"catalog", "pricing", "inventory", "cart"} {
			s.Net.Fault(tt.Fault{Kind: tt.Crash, On: service, Silent: true})
		}
		time.Sleep(time.Second)
		b.Get("/").want(t, http.StatusOK, "catalog, inventory, pricing", "Enamel mug", "€14.50")
		b.Get("/api/products").want(t, http.StatusOK, "catalog, inventory, pricing", `"stale":true`)
		b.Do(http.MethodPost, "/api/carts", "", "").want(t, http.StatusServiceUnavailable, "", "/problems/cart-unavailable")
	})
}

func TestOneReplicaOfEachIsEnough(t *testing.T) {
	Test(t, func(t *testing.T, s *Shop) {
		b := s.Browser("browser")
		cart := b.fill(t)
		for _, host := range []string{"storefront-1", "cart-1", "inventory-2", "pricing-2", "catalog-1"} {
			s.Net.Fault(tt.Fault{Kind: tt.Crash, On: host})
		}
		for range 20 {
			b.Get("/").want(t, http.StatusOK, "", "Enamel mug", "€14.50")
			b.Get(cart).want(t, http.StatusOK, "", `"product":"enamel-mug","quantity":2`)
		}
		b.Do(http.MethodPost, cart+"/checkout", "k1", "").want(t, http.StatusCreated, "", `"order":"G-`)
	})
}

func TestAnOrderWhoseConfirmationIsLostIsMadeOnce(t *testing.T) {
	Test(t, func(t *testing.T, s *Shop) {
		b := s.Browser("browser")
		cart := b.fill(t)
		s.Net.Fault(tt.Fault{Kind: tt.Cut, On: "inventory", Bytes: 10, For: 5 * time.Second})
		b.Do(http.MethodPost, cart+"/checkout", "k1", "").want(t, http.StatusServiceUnavailable, "", "never ordered twice")
		b.Do(http.MethodPost, cart+"/checkout", "k1", "").want(t, http.StatusServiceUnavailable, "", "never ordered twice")
		time.Sleep(10 * time.Second)
		first := b.Do(http.MethodPost, cart+"/checkout", "k1", "")
		first.want(t, http.StatusOK, "", `"order":"G-`) // made already
		b.Do(http.MethodPost, cart+"/checkout", "k1", "").want(t, http.StatusOK, "", first.Body)
		b.Do(http.MethodPost, cart+"/checkout", "k2", "").want(t, http.StatusConflict, "", "/problems/already-ordered")
		b.Get("/api/products").want(t, http.StatusOK, "", `"available":999998`)
	})
}

func TestACartOutlivesAllReplicas(t *testing.T) {
	Test(t, func(t *testing.T, s *Shop) {
		b := s.Browser("browser")
		cart := b.fill(t)
		s.Net.Fault(tt.Fault{Kind: tt.Crash, On: "cart", For: 2 * time.Second})
		time.Sleep(time.Second)
		b.Get(cart).want(t, http.StatusServiceUnavailable, "", "What is in it is safe.")
		b.Get("/").want(t, http.StatusOK, "")
		time.Sleep(10 * time.Second)
		b.Get(cart).want(t, http.StatusOK, "", `"product":"enamel-mug","quantity":2`)
	})
}

func TestBothSidesOfAPartitionedCartAreKept(t *testing.T) {
	Test(t, func(t *testing.T, s *Shop) {
		b := s.Browser("browser")
		cart := b.fill(t)
		s.Net.Fault(tt.Fault{Kind: tt.Partition, From: "cart-1", To: "cart-2", For: 5 * time.Second})
		path := strings.TrimPrefix(cart, "/api") + "/items/"
		s.Direct("left", "cart-1").Do(http.MethodPut, path+"task-lamp", "", `{"quantity":1}`).want(t, http.StatusOK, "")
		s.Direct("right", "cart-2").Do(http.MethodPut, path+"wool-blanket", "", `{"quantity":3}`).want(t, http.StatusOK, "")
		time.Sleep(10 * time.Second)
		for range 4 {
			b.Get(cart).want(t, http.StatusOK, "", `"enamel-mug","quantity":2`, `"task-lamp","quantity":1`, `"wool-blanket","quantity":3`)
		}
	})
}

func TestAChangeThatComesLateUndoesNothing(t *testing.T) {
	Test(t, func(t *testing.T, s *Shop) {
		b := s.Direct("browser", "storefront-1")
		var carts []string
		for range 6 {
			carts = append(carts, b.fill(t))
		}
		s.Net.Fault(tt.Fault{Kind: tt.Partition, From: "storefront-1", To: "cart-1", OneWay: true, For: 4 * time.Second})
		var wg sync.WaitGroup
		for _, cart := range carts {
			wg.Go(func() { // some hang on their way to cart-1, and are repeated at cart-2
				b.Do(http.MethodPut, cart+"/items/enamel-mug", "", `{"quantity":6}`).want(t, http.StatusOK, "", `"quantity":6`)
				b.Do(http.MethodPut, cart+"/items/enamel-mug", "", `{"quantity":7}`).want(t, http.StatusOK, "", `"quantity":7`)
			})
		}
		wg.Wait()
		time.Sleep(20 * time.Second) // the first ones have arrived since
		for _, cart := range carts {
			b.Get(cart).want(t, http.StatusOK, "", `"quantity":7`)
		}
	})
}

// fill makes a cart with two mugs and returns its path.
func (b Browser) fill(t *testing.T) string {
	t.Helper()
	made := b.Do(http.MethodPost, "/api/carts", "", "")
	made.want(t, http.StatusCreated, "")
	var c contents
	if err := made.Decode(&c); err != nil {
		t.Fatal(err)
	}
	cart := "/api/carts/" + c.ID
	b.Do(http.MethodPut, cart+"/items/enamel-mug", "", `{"quantity":2}`).want(t, http.StatusOK, "", `"quantity":2`)
	return cart
}

// want fails the test unless the answer has this status, does without these
// neighbours, and has all of text in its body.
func (a Answer) want(t *testing.T, status int, without string, text ...string) {
	t.Helper()
	if a.Err != nil || a.Status != status || a.Degraded != without {
		t.Errorf("got %v, want %d without %q", a, status, without)
		return
	}
	for _, s := range text {
		if !strings.Contains(a.Body, s) {
			t.Errorf("got %.2000s, want it to say %s", a.Body, s)
		}
	}
}
