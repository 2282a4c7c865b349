package cart

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// Repository keeps carts durably. [Store] is the one there is.
type Repository interface {
	// Get returns a cart, or [ErrNotFound].
	Get(id string) (Cart, error)
	// Update replaces a cart by what change makes of it, atomically. found is
	// false for a cart that is not there yet. change may run more than once;
	// its error is returned as it is, and nothing has happened.
	Update(id string, change func(before Cart, found bool) (Cart, error)) (Cart, error)
}

// Replicas are the other copies of this service. Both methods do what can be
// done in a short time; what fails is made good later by reading the log.
type Replicas interface {
	// Push gives c to every replica that answers.
	Push(ctx context.Context, c Cart)
	// Fetch takes in what the replicas that answer know of a cart. The error
	// says why some did not.
	Fetch(ctx context.Context, id string) error
}

// Prices tells what things cost.
type Prices interface {
	// Quote returns the price of all lines together. The key lets the question
	// be asked again. Errors: [*UnknownProductError], [*UnavailableError].
	Quote(ctx context.Context, key string, lines []Line) (kit.Money, error)
}

// Inventory sets goods aside. It alone decides what has been ordered.
type Inventory interface {
	// Reserve makes the one order of a cart, or returns the one that was made
	// for the same cart and key; created tells which. Without lines it makes
	// none. Errors: [ErrEmpty] for no lines and no order, [ErrOrdered] for
	// another key, [ErrKeyReused], [*ShortageError], [*UnknownProductError],
	// and [*UnavailableError], after which the order may have been made.
	Reserve(ctx context.Context, cart, key string, lines []Line, total kit.Money) (o Order, created bool, err error)
}

// UnavailableError says that a service that a checkout needs does not answer.
type UnavailableError struct {
	Service string
	Err     error
}

// Error names the service.
func (e *UnavailableError) Error() string { return fmt.Sprintf("cart: ask %s: %v", e.Service, e.Err) }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// ShortageError says that there is less in stock than the cart holds.
type ShortageError struct {
	Product   string
	Available int
}

// Error names the product.
func (e *ShortageError) Error() string {
	return fmt.Sprintf("cart: only %d of %q in stock", e.Available, e.Product)
}

// UnknownProductError says that the shop does not sell what the cart holds.
type UnknownProductError struct{ Product string }

// Error names the product.
func (e *UnknownProductError) Error() string { return fmt.Sprintf("cart: no product %q", e.Product) }

// Carts holds the use cases of the service. When a method returns without an
// error, what it did is on this replica's disk and has been offered to the
// others. Methods may be called by many goroutines at once.
type Carts struct {
	repo      Repository
	clock     *Clock
	replicas  Replicas
	prices    Prices
	inventory Inventory
	busy      locks // by cart: a checkout and changes of one cart take turns
}

// NewCarts returns the use cases over the given parts.
func NewCarts(repo Repository, clock *Clock, replicas Replicas, prices Prices, inventory Inventory) *Carts {
	return &Carts{repo: repo, clock: clock, replicas: replicas, prices: prices, inventory: inventory}
}

// Create makes an empty cart. Calls with the same key, on whatever replica,
// get the same cart; an empty key always makes a new one.
func (s *Carts) Create(ctx context.Context, key string) (Cart, error) {
	at := s.clock.Next()
	id := newID(key)
	c, err := s.repo.Update(id, func(before Cart, found bool) (Cart, error) {
		if !found {
			before.Created = at
		}
		return before, nil
	})
	if err != nil {
		return Cart{}, err
	}
	s.replicas.Push(ctx, c)
	return c, nil
}

// newID returns a random ID, or for a key always the same.
func newID(key string) string {
	if key == "" {
		return rand.Text()
	}
	sum := sha256.Sum256([]byte("cart " + key))
	return base32.StdEncoding.EncodeToString(sum[:])[:len(rand.Text())]
}

// Get returns a cart, [ErrNotFound], or [ErrUncertain].
func (s *Carts) Get(ctx context.Context, id string) (Cart, error) {
	c, err := s.repo.Get(id)
	if errors.Is(err, ErrNotFound) {
		missing := s.replicas.Fetch(ctx, id)
		c, err = s.repo.Get(id)
		return c, certain(err, missing)
	}
	return c, err
}

// certain returns err, or [ErrUncertain] where err says that there is nothing
// and a replica is missing: that one may have made the cart, or filled it, and
// not have told this one.
func certain(err, missing error) error {
	if missing != nil && (errors.Is(err, ErrNotFound) || errors.Is(err, ErrEmpty)) {
		return fmt.Errorf("%w: %w", ErrUncertain, missing)
	}
	return err
}

// SetItem sets how many pieces of product are in a cart; 0 takes it out. The
// change is as old as the first call under its key, on whatever replica, or as
// the call if the key is empty: one that waited loses against later ones.
// Errors: those of [Carts.Get] and of [Cart.Set].
func (s *Carts) SetItem(ctx context.Context, id, key, product string, quantity int) (Cart, error) {
	at := s.clock.Next()
	if overtaken(ctx) { // asked after the clock, so that no stop can hide between
		return Cart{}, errOvertaken
	}
	if _, err := s.Get(ctx, id); err != nil {
		return Cart{}, err
	}
	unlock, err := s.busy.lock(ctx, id)
	if err != nil {
		return Cart{}, err
	}
	c, err := s.repo.Update(id, func(before Cart, found bool) (Cart, error) {
		if !found {
			return before, ErrNotFound
		}
		return before.Set(key, product, quantity, at)
	})
	unlock()
	if err != nil {
		return Cart{}, err
	}
	s.replicas.Push(ctx, c)
	return c, nil
}

// Checkout turns a cart into an order at today's prices. Repeated with the same
// key, on whatever replica, it returns the same order; created is true for the
// call that made it. If it fails, either nothing was ordered, or it can be
// repeated with the same key to learn what was. Without a replica that does not
// answer the order has what this one knows of the cart, which must be something.
// Errors: [ErrOrdered], [ErrEmpty], and those of [Carts.Get], [Prices] and
// [Inventory].
func (s *Carts) Checkout(ctx context.Context, id, key string) (o Order, created bool, err error) {
	unlock, err := s.busy.lock(ctx, id)
	if err != nil {
		return Order{}, false, err
	}
	defer unlock()
	// What was changed elsewhere shall be in the order, as far as the others
	// can be asked.
	missing := s.replicas.Fetch(ctx, id)
	c, err := s.repo.Get(id)
	if err != nil {
		return Order{}, false, certain(err, missing)
	}
	if c.Order != nil {
		return s.repeated(ctx, c, key)
	}
	o, created, err = s.order(ctx, c, key)
	if err != nil {
		return Order{}, false, certain(err, missing)
	}
	c, err = s.repo.Update(id, func(before Cart, found bool) (Cart, error) {
		if !found {
			return before, ErrNotFound
		}
		return before.WithOrder(o), nil
	})
	if err != nil {
		return Order{}, false, err
	}
	s.replicas.Push(ctx, c)
	return *c.Order, created, nil
}

// repeated answers the checkout of a cart that has its order.
func (s *Carts) repeated(ctx context.Context, c Cart, key string) (Order, bool, error) {
	if c.Order.Key != key {
		return Order{}, false, ErrOrdered
	}
	s.replicas.Push(ctx, c) // the first time may have ended before this
	return *c.Order, false, nil
}

// order prices the cart and reserves what is in it. A cart that has been emptied
// may have been ordered before that, by a call whose answer was lost.
func (s *Carts) order(ctx context.Context, c Cart, key string) (Order, bool, error) {
	lines := c.Lines()
	switch {
	case len(c.products()) == 0:
		return Order{}, false, ErrEmpty
	case len(lines) == 0:
		return s.inventory.Reserve(ctx, c.ID, key, nil, kit.Money{})
	}
	total, err := s.prices.Quote(ctx, key, lines)
	if err != nil {
		return Order{}, false, err
	}
	return s.inventory.Reserve(ctx, c.ID, key, lines, total)
}
