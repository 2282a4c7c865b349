package shoptest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/gabion-go/gabion/examples/shop/cart"
)

// A ledger is what somebody has done to one cart, one thing after the other.
type ledger struct {
	cart    string
	changes map[string][]change // by product, in the order in which they were made
	tried   bool                // to check it out, under the key that is key()
	refused string              // why the shop did not sell, for good
	order   *order              // as it was acknowledged
}

// change is one request to set a quantity.
type change struct {
	quantity int
	done     bool // acknowledged; if not, it may take effect at any time, or never
}

// ledgers are those of all carts.
type ledgers struct {
	mu  sync.Mutex
	all []*ledger
}

func (b *ledgers) add(l *ledger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, l)
}

// line is a quantity of one product, as the shop writes it in JSON.
type line struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// order is what the shop answers to a checkout.
type order struct {
	ID    string `json:"order"`
	Cart  string `json:"cart"`
	Lines []line `json:"lines"`
}

// contents are what the shop says is in a cart.
type contents struct {
	ID    string `json:"id"`
	Items []line `json:"items"`
}

func (c contents) quantity(product string) int {
	for _, l := range c.Items {
		if l.Product == product {
			return l.Quantity
		}
	}
	return 0
}

func (l *ledger) key() string { return "checkout of " + l.cart }

func (l *ledger) changed(product string, quantity int, done bool) {
	if l.changes == nil {
		l.changes = map[string][]change{}
	}
	l.changes[product] = append(l.changes[product], change{quantity, done})
}

// possible returns how many of product there may be: as many as was
// acknowledged last, or as a change said that was not acknowledged.
func (l *ledger) possible(product string) []int {
	last := 0
	var open []int
	for _, c := range l.changes[product] {
		if c.done {
			last = c.quantity
		} else {
			open = append(open, c.quantity)
		}
	}
	return append([]int{last}, open...)
}

// check returns what is wrong with lines that are said to be in the cart.
func (l *ledger) check(held contents) (wrong []string) {
	for product, changes := range l.changes {
		if got, want := held.quantity(product), l.possible(product); !slices.Contains(want, got) {
			wrong = append(wrong, fmt.Sprintf("%d of %s, want %d, or what was not acknowledged of %v", got, product, want[0], changes))
		}
	}
	for _, h := range held.Items {
		if l.changes[h.Product] == nil {
			wrong = append(wrong, fmt.Sprintf("%d of %s, which nobody put there", h.Quantity, h.Product))
		}
	}
	return wrong
}

// checkCart returns what is wrong with what a replica has of the cart.
func (l *ledger) checkCart(c cart.Cart) []string {
	held := contents{}
	for _, have := range c.Lines() {
		held.Items = append(held.Items, line(have))
	}
	wrong := l.check(held)
	switch {
	case c.Order == nil && l.order != nil:
		wrong = append(wrong, "no order, acknowledged was "+l.order.ID)
	case c.Order != nil && l.order == nil:
		wrong = append(wrong, "an order that nobody was told of: "+c.Order.ID)
	case c.Order != nil && c.Order.ID != l.order.ID:
		wrong = append(wrong, "order "+c.Order.ID+", acknowledged was "+l.order.ID)
	}
	return wrong
}
