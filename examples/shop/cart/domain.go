package cart

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// Bounds of a cart.
const (
	MaxQuantity = 99 // of one product
	MaxLines    = 50 // products in a cart
	maxEntries  = 400
	// keyLife is how long a change is known again by its key. It must be longer
	// than any network keeps a request that its sender has given up.
	keyLife    = 10 * time.Minute
	maxProduct = 64 // bytes of a product's ID
	maxID      = 64 // bytes of a cart's ID
)

// What keeps a cart from being found or changed.
var (
	// ErrNotFound: there is no such cart.
	ErrNotFound = errors.New("cart: not found")
	// ErrUncertain: this replica does not have the cart, or has nothing in it to
	// check out, and another one, which may have more, does not answer.
	ErrUncertain = errors.New("cart: not all replicas can be asked for it")
	// ErrOrdered: the cart has been checked out, and is closed for good.
	ErrOrdered = errors.New("cart: already ordered")
	// ErrEmpty: an empty cart cannot be checked out.
	ErrEmpty = errors.New("cart: empty")
	// ErrFull: no more products fit in the cart.
	ErrFull = errors.New("cart: full")
	// ErrKeyReused: the key belongs to another change or to the order of another
	// cart.
	ErrKeyReused = errors.New("cart: key used before")
	// ErrBadItem: a product's ID or a quantity that cannot be.
	ErrBadItem = errors.New("cart: bad item")
)

// Entry is the last word on one product in a cart. Quantity 0 is a removal.
type Entry struct {
	Quantity int
	Stamp    Stamp
}

// compare orders entries by age, and those of one stamp, which only a broken
// clock can make, by quantity, so that a winner is always defined.
func (e Entry) compare(o Entry) int {
	return cmp.Or(e.Stamp.Compare(o.Stamp), cmp.Compare(e.Quantity, o.Quantity))
}

// Line is a quantity of one product.
type Line struct {
	Product  string
	Quantity int
}

// Order is the outcome of a checkout. It never changes.
type Order struct {
	ID      string
	Key     string // the idempotency key of the checkout
	Lines   []Line
	Total   kit.Money
	Created time.Time
}

// Cart is a shopping cart as one replica knows it. It is a value: methods
// return new carts and never change the one they are called on.
type Cart struct {
	ID      string
	Created Stamp
	Entries map[string]Entry // by product
	Recent  map[string]Keyed // by product: changes that may be asked for again
	Order   *Order           // nil until checked out
}

// Keyed are changes by their idempotency key, each as old as it was when it came
// first to any replica.
//
// A request that was given up and repeated at another replica may still be on
// its way, and come long after the next change. With a stamp of its own it would
// undo that one.
type Keyed map[string]Entry

// Set returns c with quantity pieces of product, 0 to [MaxQuantity], where 0
// takes the product out. A key lets the change be asked for again: within ten
// minutes it is made once, whichever replicas it comes to, and in whatever
// order. The error matches [ErrOrdered], [ErrFull], [ErrBadItem] or
// [ErrKeyReused].
func (c Cart) Set(key, product string, quantity int, at Stamp) (Cart, error) {
	if err := checkItem(product, quantity); err != nil {
		return c, err
	}
	if c.Order != nil {
		return c, ErrOrdered
	}
	if first, again := c.Recent[product][key]; again {
		if first.Quantity != quantity {
			return c, ErrKeyReused
		}
		return c, nil
	}
	before, known := c.Entry(product)
	if !known && len(c.products()) >= maxEntries || before.Quantity == 0 && quantity > 0 && len(c.Lines()) >= MaxLines {
		return c, fmt.Errorf("%w: it holds %d products", ErrFull, MaxLines)
	}
	one := Cart{ID: c.ID, Created: c.Created}
	if key == "" {
		one.Entries = map[string]Entry{product: {quantity, at}}
	} else {
		one.Recent = map[string]Keyed{product: {key: {quantity, at}}}
	}
	return c.Merge(one).aged(product, at), nil
}

// aged returns c without the keys of product that nobody will use again.
func (c Cart) aged(product string, now Stamp) Cart {
	for key, e := range c.Recent[product] {
		if e.Stamp.Micros < now.Micros-keyLife.Microseconds() {
			delete(c.Recent[product], key) // Merge has made it c's own
			if e.compare(c.Entries[product]) > 0 {
				c.Entries[product] = e
			}
		}
	}
	return c
}

// Entry returns the last word on product. known is false if there is none.
func (c Cart) Entry(product string) (e Entry, known bool) {
	e, known = c.Entries[product]
	for _, k := range c.Recent[product] {
		if !known || k.compare(e) > 0 {
			e, known = k, true
		}
	}
	return e, known
}

// products returns those on which there is a word.
func (c Cart) products() map[string]bool {
	all := make(map[string]bool, len(c.Entries)+len(c.Recent))
	for product := range c.Entries {
		all[product] = true
	}
	for product := range c.Recent {
		all[product] = true
	}
	return all
}

func checkItem(product string, quantity int) error {
	if quantity < 0 || quantity > MaxQuantity {
		return fmt.Errorf("%w: a quantity must be 0 to %d", ErrBadItem, MaxQuantity)
	}
	if product == "" || len(product) > maxProduct {
		return fmt.Errorf("%w: a product's ID has 1 to %d characters", ErrBadItem, maxProduct)
	}
	for _, b := range []byte(product) {
		if !('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.') {
			return fmt.Errorf("%w: a product's ID has letters, digits, '-', '_' and '.' only", ErrBadItem)
		}
	}
	return nil
}

// saneID reports whether a cart could have this ID.
func saneID(id string) bool { return id != "" && len(id) <= maxID }

// WithOrder returns c, checked out by o. An order that is already there stays.
func (c Cart) WithOrder(o Order) Cart {
	if c.Order == nil {
		c.Order = &o
	}
	return c
}

// Lines returns what is in the cart, sorted by product.
func (c Cart) Lines() []Line {
	lines := make([]Line, 0, len(c.Entries))
	for product := range c.products() {
		if e, _ := c.Entry(product); e.Quantity > 0 {
			lines = append(lines, Line{product, e.Quantity})
		}
	}
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.Product, b.Product) })
	return lines
}

// Merge returns what c and o know together. Both must have the same ID. Merge
// is commutative, associative and idempotent.
func (c Cart) Merge(o Cart) Cart {
	m := Cart{
		ID: c.ID, Created: c.Created, Entries: maps.Clone(c.Entries),
		Recent: mergeRecent(c.Recent, o.Recent), Order: firstOrder(c.Order, o.Order),
	}
	if o.Created.Compare(m.Created) < 0 {
		m.Created = o.Created
	}
	if m.Entries == nil {
		m.Entries = make(map[string]Entry, len(o.Entries))
	}
	for product, e := range o.Entries {
		if have, known := m.Entries[product]; !known || e.compare(have) > 0 {
			m.Entries[product] = e
		}
	}
	return m
}

// mergeRecent keeps of each change the first that is known.
func mergeRecent(a, b map[string]Keyed) map[string]Keyed {
	m := make(map[string]Keyed, len(a))
	for _, recent := range []map[string]Keyed{a, b} {
		for product, changes := range recent {
			if m[product] == nil {
				m[product] = make(Keyed, len(changes))
			}
			for key, e := range changes {
				if have, known := m[product][key]; !known || e.compare(have) < 0 {
					m[product][key] = e
				}
			}
		}
	}
	return m
}

// firstOrder returns the one that stands. The inventory makes one order for a
// cart, so two different ones are a broken promise; even then all replicas
// choose the same.
func firstOrder(a, b *Order) *Order {
	if a == nil || b != nil && cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID)) < 0 {
		return b
	}
	return a
}

// Equal reports whether c and o know the same.
func (c Cart) Equal(o Cart) bool {
	return c.ID == o.ID && c.Created == o.Created && maps.Equal(c.Entries, o.Entries) &&
		maps.EqualFunc(c.Recent, o.Recent, maps.Equal) &&
		(c.Order == nil) == (o.Order == nil) && (c.Order == nil || c.Order.ID == o.Order.ID)
}

// Latest returns the latest stamp in c.
func (c Cart) Latest() Stamp {
	latest := c.Created
	for product := range c.products() {
		if e, _ := c.Entry(product); e.Stamp.Compare(latest) > 0 {
			latest = e.Stamp
		}
	}
	return latest
}
