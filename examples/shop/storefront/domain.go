package storefront

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// The neighbours, as they are named in [Listing.Degraded] and its like.
const (
	catalogName         = "catalog"
	pricingName         = "pricing"
	inventoryName       = "inventory"
	cartName            = "cart"
	checkoutName        = "checkout" // the cart service, in the middle of a checkout
	recommendationsName = "recommendations"
)

// ErrNotFound says that there is no such product or cart.
var ErrNotFound = errors.New("storefront: not found")

// UnavailableError says that a neighbour could not be asked and that there was
// nothing to show in its place. Err is for logs, not for strangers.
type UnavailableError struct {
	Neighbour string
	Err       error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("storefront: %s unavailable: %v", e.Neighbour, e.Err)
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// RefusedError says that a neighbour understood the request and declined it,
// for a reason that the user should read.
type RefusedError struct {
	Status              int // the HTTP status that goes with the reason
	Type, Title, Detail string
	Extra               map[string]any // such as the product that is sold out
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("storefront: refused: %s: %s", e.Title, e.Detail)
}

// Product is what the catalog says of a product.
type Product struct {
	ID, Name, Description, Category string
	Image                           string // an SVG document
}

// Item is a quantity of a product in a cart.
type Item struct {
	Product  string
	Quantity int
}

// Cart is what the cart service says of a cart.
type Cart struct {
	ID      string
	Items   []Item
	Order   *Order // nil until the cart has been checked out
	Version int64
}

// PricedItem is an [Item] at a price.
type PricedItem struct {
	Item
	Unit, Total kit.Money
}

// Quote is what items cost together.
type Quote struct {
	Lines []PricedItem
	Total kit.Money
}

// Order is a cart that has been checked out.
type Order struct {
	Number string
	Cart   string
	Items  []Item
	Total  kit.Money
	New    bool // made by this very call, and not by one before it
}

// The neighbours as the storefront needs them. Each method ends with its
// context. Beside the errors named, any error means that the neighbour is of
// no use at the moment.
type (
	// Catalog knows what is sold.
	Catalog interface {
		Products(ctx context.Context) ([]Product, error)
		Product(ctx context.Context, id string) (Product, error) // ErrNotFound
		Recommendations(ctx context.Context, id string) ([]Product, error)
	}
	// Pricing knows what it costs.
	Pricing interface {
		Prices(ctx context.Context) (map[string]kit.Money, error)
		Price(ctx context.Context, product string) (kit.Money, error) // ErrNotFound
		// Quote prices items together. The error is a *RefusedError if they
		// have no price.
		Quote(ctx context.Context, items []Item) (Quote, error)
	}
	// Inventory knows how much of it is left.
	Inventory interface {
		Stock(ctx context.Context) (map[string]int, error)
		StockOf(ctx context.Context, product string) (int, error) // ErrNotFound
	}
	// Carts keeps carts and turns them into orders. Its errors are
	// *RefusedError and *UnavailableError.
	Carts interface {
		// Create makes a cart; with the same key, the same cart.
		Create(ctx context.Context, key string) (Cart, error)
		Cart(ctx context.Context, id string) (Cart, error)
		// Put and Remove change a cart; with the same key, once.
		Put(ctx context.Context, id, key string, item Item) (Cart, error)
		Remove(ctx context.Context, id, key, product string) (Cart, error)
		// Checkout orders the cart; with the same key, once.
		Checkout(ctx context.Context, id, key string) (Order, error)
	}
)

// Availability is how much of a product is left, in words.
type Availability string

// What an [Offer] says about stock.
const (
	InStock  Availability = "in_stock"
	LowStock Availability = "low_stock" // lowStock pieces or fewer
	SoldOut  Availability = "sold_out"
	Unknown  Availability = "unknown"
)

const lowStock = 20

func availabilityOf(left int) Availability {
	switch {
	case left <= 0:
		return SoldOut
	case left <= lowStock:
		return LowStock
	}
	return InStock
}

// Price is a price and how sure the shop is of it.
type Price struct {
	kit.Money
	Stale bool      // the last one known, from AsOf
	AsOf  time.Time // when pricing said so
}

// Offer is a product as it is shown.
type Offer struct {
	Product
	Price        *Price // nil if it was never known
	Availability Availability
	Left         int // pieces; meaningless if Availability is Unknown
}

// Freshness says whether what is shown of the catalog is from memory.
type Freshness struct {
	Stale bool
	AsOf  time.Time // when the catalog said so
}

// Listing is all that is for sale.
type Listing struct {
	Freshness
	Offers   []Offer
	Degraded []string // the neighbours that did not answer, sorted
}

// Detail is one product with what goes well with it.
type Detail struct {
	Freshness
	Offer
	Recommended []Product
	Degraded    []string
}

// CartLine is an [Item] as it is shown.
type CartLine struct {
	Item
	Name        string // the product's ID if the name is not known
	Unit, Total *Price // nil if never known
}

// CartView is a cart as it is shown.
type CartView struct {
	Cart
	Lines    []CartLine
	Total    *Price // nil if a line has no price
	Degraded []string
}

// Count returns how many pieces are in the cart.
func (v CartView) Count() int { return v.Cart.count() }

func (c Cart) count() (n int) {
	for _, it := range c.Items {
		n += it.Quantity
	}
	return n
}
