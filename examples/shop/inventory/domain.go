package inventory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// Bounds of a reservation.
const (
	MaxLines    = 100
	MaxQuantity = 1000 // of one product
	maxID       = 128  // bytes of a cart's ID or a key
)

// What keeps a reservation from being made or found.
var (
	// ErrNotFound says that there is no such product or reservation.
	ErrNotFound = errors.New("inventory: not found")
	// ErrBadRequest says that a reservation makes no sense whatever the stock
	// is. The text of the error says why and is fit for the caller.
	ErrBadRequest = errors.New("inventory: bad reservation")
	// ErrNothing says that a request without lines found no reservation.
	ErrNothing = errors.New("inventory: nothing to reserve")
	// ErrAlreadyOrdered says that the cart was ordered under another key.
	ErrAlreadyOrdered = errors.New("inventory: cart already ordered")
	// ErrKeyReused says that the key has ordered another cart.
	ErrKeyReused = errors.New("inventory: key belongs to another cart")
)

// InsufficientError says that there is less in stock than was asked for.
type InsufficientError struct {
	Product   string
	Available int
}

func (e *InsufficientError) Error() string {
	return fmt.Sprintf("inventory: only %d of %q in stock", e.Available, e.Product)
}

// UnknownProductError says that the shop never had the product.
type UnknownProductError struct{ Product string }

func (e *UnknownProductError) Error() string {
	return fmt.Sprintf("inventory: no product %q", e.Product)
}

// Stock is how many pieces of a product can be reserved.
type Stock struct {
	Product   string
	Available int
}

// Line is a quantity of one product.
type Line struct {
	Product  string
	Quantity int
}

// Request asks for a reservation: everything in it, or nothing. Without lines it
// asks for the one that was made before, if any.
type Request struct {
	Cart  string
	Key   string // the caller's idempotency key
	Lines []Line
	Total kit.Money // what the buyer agreed to pay; kept, not judged
}

// Validate returns nil or an error that matches [ErrBadRequest].
func (r Request) Validate() error {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrBadRequest, why) }
	switch {
	case r.Cart == "" || len(r.Cart) > maxID:
		return bad(fmt.Sprintf("the cart's ID must have 1 to %d bytes", maxID))
	case r.Key == "" || len(r.Key) > maxID:
		return bad(fmt.Sprintf("the key must have 1 to %d bytes", maxID))
	case len(r.Lines) == 0:
		return nil
	case len(r.Lines) > MaxLines:
		return bad(fmt.Sprintf("want 1 to %d lines", MaxLines))
	case r.Total.Amount < 0 || len(r.Total.Currency) != 3:
		return bad("the total must be an amount of a currency")
	}
	seen := make(map[string]bool, len(r.Lines))
	for _, l := range r.Lines {
		if l.Quantity < 1 || l.Quantity > MaxQuantity {
			return bad(fmt.Sprintf("a quantity must be 1 to %d", MaxQuantity))
		}
		if seen[l.Product] {
			return bad("a product stands on two lines")
		}
		seen[l.Product] = true
	}
	return nil
}

// Reservation is an order: goods set aside for one cart.
type Reservation struct {
	Order string // readable, unique for ever
	Request
	Created time.Time
}

// Store keeps stock and reservations.
type Store interface {
	// Stock returns the stock of every product, sorted by product.
	Stock(ctx context.Context) ([]Stock, error)
	// StockOf returns the stock of one product, or ErrNotFound.
	StockOf(ctx context.Context, product string) (Stock, error)
	// Reservation returns the reservation with that order number, or ErrNotFound.
	Reservation(ctx context.Context, order string) (Reservation, error)
	// Reserve takes req's goods out of stock and keeps the reservation, in one
	// step that is either done and durable or has not happened. If req's cart
	// is already reserved under req's key, Reserve changes nothing and returns
	// that reservation, whatever req's lines are; created is false. Other errors
	// are ErrNothing, ErrAlreadyOrdered, ErrKeyReused, *InsufficientError,
	// *UnknownProductError, or of the store.
	Reserve(ctx context.Context, req Request) (res Reservation, created bool, err error)
	// Ping reports whether the store can be read.
	Ping(ctx context.Context) error
}

// newOrder returns an order number like "G-7KQ2M-4XDWA-RTBZC". At 75 random
// bits none comes twice; the store refuses it if one ever did.
func newOrder() string {
	s := rand.Text()
	return "G-" + s[:5] + "-" + s[5:10] + "-" + s[10:15]
}
