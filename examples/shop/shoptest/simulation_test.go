package shoptest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	tt "github.com/gabion-go/gabion/transport/transporttest"
)

// The times of a simulation, from the start of the network.
const (
	mostFaults = 6
	healed     = warm + 6500*time.Millisecond // when the last fault is over
	recovery   = 10 * time.Second             // from then until all is well, at most
	stragglers = 6 * time.Second              // from then until nothing is on its way any more
)

// buyers is how many there are at once.
const buyers = 2

// TestShopUnderRandomFaults lets buyers loose on a shop in which things go
// wrong, and demands that
//   - no page fails while a storefront lives,
//   - all is well soon after the last fault,
//   - a checkout that was acknowledged has been made, once, for good,
//   - what was put into a cart is in it.
func TestShopUnderRandomFaults(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // memory is cheaper here than time
	tt.Seeds(t, seeds(), randomFaults, func(tb testing.TB, n *tt.Network, faults []tt.Fault) {
		simulate(tb, Open(tb, n), faults)
	})
}

// seeds is how many there is time for: about a minute on two processors.
func seeds() int {
	switch {
	case raceEnabled:
		return 15
	case testing.Short():
		return 50
	}
	return 1000
}

// randomFaults spares one storefront, and the ways between browsers and
// storefronts: what the shop promises its visitors it promises as long as they
// reach a storefront that lives.
func randomFaults(seed uint64) []tt.Fault {
	spared, hit := spared(seed)
	some := tt.RandomFaults(seed, 2+int(seed%(mostFaults-1)), tt.FaultSpace{
		On: []string{
			"cart-1", "cart-2", "cart", "inventory-1", "inventory-2", "inventory", "inventory",
			"pricing-1", "pricing", "catalog-1", "catalog", hit,
		},
		Links: [][2]string{
			{"cart-1", "cart-2"}, {"cart-2", "cart-1"}, {spared, "cart-1"}, {spared, "cart-2"}, {hit, "cart"},
			{"inventory", "cart"}, {"inventory", "cart"}, {"inventory-1", "cart"}, {"cart", "pricing"}, {"storefront", "catalog"},
			{"storefront", "pricing-1"}, {"storefront", "inventory"}, {"cart-1", "registry"}, {hit, "registry"},
		},
		Registry: []string{tt.Everyone, "cart", "inventory", "storefront"},
		From:     500 * time.Millisecond, Until: 3500 * time.Millisecond, Longest: 3 * time.Second,
	})
	// One more loses answers where that is the most dangerous.
	return append(some, tt.RandomFaults(^seed, 1, tt.FaultSpace{
		On:    []string{"inventory", "cart"},
		Links: [][2]string{{"inventory", "cart"}, {"cart", "storefront"}, {spared, "cart-1"}, {spared, "cart-2"}},
		Kinds: []tt.Kind{tt.Cut, tt.Cut, tt.Reset, tt.Partition, tt.Latency},
		From:  500 * time.Millisecond, Until: 3500 * time.Millisecond, Shortest: time.Second, Longest: 3 * time.Second,
	})...)
}

// spared returns the storefront that no fault falls upon, and the other one.
func spared(seed uint64) (spared, hit string) {
	if seed%2 == 0 {
		return "storefront-1", "storefront-2"
	}
	return "storefront-2", "storefront-1"
}

// A simulation is one run of the shop with its buyers.
type simulation struct {
	*Shop
	testing.TB
	books ledgers
}

func simulate(tb testing.TB, s *Shop, faults []tt.Fault) {
	sim := &simulation{Shop: s, TB: tb}
	s.Net.Fault(faults...)
	shoppers := make([]*buyer, buyers)
	var wg sync.WaitGroup
	for i := range shoppers {
		shoppers[i] = sim.buyer(fmt.Sprint("browser-", i+1))
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 77 * time.Millisecond)
			shoppers[i].shopUntil(healed)
		})
	}
	wg.Go(sim.visit)
	wg.Wait()

	sim.recover()
	for i, l := range sim.books.all {
		if l.tried {
			shoppers[i%buyers].buy(l, 10) // to learn what became of it
		}
	}
	sim.audit(faults)
}

func (s *simulation) buyer(name string) *buyer {
	var id uint64
	for _, b := range []byte(name) {
		id = 31*id + uint64(b)
	}
	return &buyer{Browser: s.Browser(name), Rand: rand.New(rand.NewPCG(s.Net.Seed(), id)), simulation: s, name: name}
}

// visit looks at the shop through the storefront that is spared, time and again.
func (s *simulation) visit() {
	spared, _ := spared(s.Net.Seed())
	b := s.Direct("visitor", spared)
	for s.Net.Since() < healed {
		for _, path := range []string{"/", "/api/products"} {
			if a := b.Get(path); a.Status != http.StatusOK || a.Err != nil {
				s.Errorf("at %v: GET %s: got %d %v, want 200", s.Net.Since(), path, a.Status, a.Err)
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
}

// recover waits until the shop is well again, and then until nothing is on its
// way any more.
func (s *simulation) recover() {
	over := max(s.Net.Since(), healed)
	time.Sleep(over - s.Net.Since())
	b := s.buyer("late-browser")
	for {
		why := b.ill()
		if why == "" {
			break
		}
		if s.Net.Since() > over+recovery {
			s.Errorf("%v after the last fault: %s", s.Net.Since()-over, why)
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	time.Sleep(over + stragglers - s.Net.Since())
}
