package storefront

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// Neighbours are the services that the storefront composes.
type Neighbours struct {
	Catalog   Catalog
	Pricing   Pricing
	Inventory Inventory
	Carts     Carts
}

// DefaultBudget is how long an answer waits for neighbours that it can do
// without.
const DefaultBudget = 800 * time.Millisecond

// rememberedProducts bounds the shop's memory of products and of prices.
const rememberedProducts = 2000

// Shop composes the neighbours. It may be used by many goroutines at once.
type Shop struct {
	Neighbours
	budget time.Duration
	log    *slog.Logger

	listing  *memory[[]string] // under "": the IDs of all products in order
	products *memory[Product]
	prices   *memory[kit.Money]
}

// NewShop returns a shop that knows nothing yet. Neighbours that an answer can
// do without get budget together; zero means [DefaultBudget].
func NewShop(n Neighbours, budget time.Duration, log *slog.Logger) *Shop {
	if budget == 0 {
		budget = DefaultBudget
	}
	return &Shop{
		Neighbours: n, budget: budget, log: log,
		listing:  newMemory[[]string](1),
		products: newMemory[Product](rememberedProducts),
		prices:   newMemory[kit.Money](rememberedProducts),
	}
}

// Listing returns everything for sale. The error is an [*UnavailableError] if
// the catalog does not answer and never has.
func (s *Shop) Listing(ctx context.Context) (Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, s.budget)
	defer cancel()
	var (
		products asked[[]Product]
		prices   asked[map[string]kit.Money]
		stock    asked[map[string]int]
		wg       sync.WaitGroup
	)
	wg.Go(func() { products.ask(s.Catalog.Products(ctx)) })
	wg.Go(func() { prices.ask(s.Pricing.Prices(ctx)) })
	wg.Go(func() { stock.ask(s.Inventory.Stock(ctx)) })
	wg.Wait()

	var missing degraded
	s.note(ctx, &missing, pricingName, prices.err)
	s.note(ctx, &missing, inventoryName, stock.err)
	if prices.err == nil {
		s.rememberPrices(prices.value)
	}
	all, fresh, err := s.productsOrRemembered(ctx, products, &missing)
	if err != nil {
		return Listing{Degraded: missing}, err
	}
	out := Listing{Freshness: fresh, Degraded: missing, Offers: make([]Offer, 0, len(all))}
	for _, p := range all {
		left, counted := stock.value[p.ID]
		price, priced := prices.value[p.ID]
		out.Offers = append(out.Offers, s.offer(p, price, priced, prices.err == nil, left, counted))
	}
	return out, nil
}

// Detail returns one product. The error is [ErrNotFound], or an
// [*UnavailableError] if the catalog does not answer and never spoke of the
// product.
func (s *Shop) Detail(ctx context.Context, id string) (Detail, error) {
	ctx, cancel := context.WithTimeout(ctx, s.budget)
	defer cancel()
	var (
		product asked[Product]
		price   asked[kit.Money]
		stock   asked[int]
		more    asked[[]Product]
		wg      sync.WaitGroup
	)
	wg.Go(func() { product.ask(s.Catalog.Product(ctx, id)) })
	wg.Go(func() { price.ask(s.Pricing.Price(ctx, id)) })
	wg.Go(func() { stock.ask(s.Inventory.StockOf(ctx, id)) })
	wg.Go(func() { more.ask(s.Catalog.Recommendations(ctx, id)) })
	wg.Wait()

	var missing degraded
	p, fresh, err := s.productOrRemembered(ctx, id, product, &missing)
	if err != nil {
		return Detail{Degraded: missing}, err
	}
	s.note(ctx, &missing, pricingName, price.err)
	s.note(ctx, &missing, inventoryName, stock.err)
	s.note(ctx, &missing, recommendationsName, more.err)
	if price.err == nil {
		s.prices.put(id, price.value, time.Now())
	}
	return Detail{
		Freshness:   fresh,
		Offer:       s.offer(p, price.value, price.err == nil, answered(price.err), stock.value, stock.err == nil),
		Recommended: more.value,
		Degraded:    missing,
	}, nil
}

// Image returns the picture of a product, from memory if it can. The errors
// are those of [Shop.Detail].
func (s *Shop) Image(ctx context.Context, id string) (string, error) {
	if r, ok := s.products.get(id); ok {
		return r.value.Image, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.budget)
	defer cancel()
	var product asked[Product]
	product.ask(s.Catalog.Product(ctx, id))
	p, _, err := s.productOrRemembered(ctx, id, product, new(degraded))
	return p.Image, err
}

// asked is what came of asking a neighbour.
type asked[T any] struct {
	value T
	err   error
}

func (a *asked[T]) ask(value T, err error) { a.value, a.err = value, err }

// answered reports whether err came from a neighbour that works: none at all,
// or that what was asked for is not there or not to be had.
func answered(err error) bool {
	_, refused := errors.AsType[*RefusedError](err)
	return err == nil || refused || errors.Is(err, ErrNotFound)
}

// degraded are the neighbours that are missing from an answer, sorted.
type degraded []string

func (d *degraded) add(name string) {
	if i, there := slices.BinarySearch(*d, name); !there {
		*d = slices.Insert(*d, i, name)
	}
}

// note adds the neighbour to missing unless it answered.
func (s *Shop) note(ctx context.Context, missing *degraded, neighbour string, err error) {
	if answered(err) {
		return
	}
	missing.add(neighbour)
	s.log.DebugContext(ctx, "neighbour missing", "neighbour", neighbour, "error", err)
}

func (s *Shop) rememberPrices(prices map[string]kit.Money) {
	now := time.Now()
	for product, price := range prices {
		s.prices.put(product, price, now)
	}
}

func (s *Shop) productsOrRemembered(ctx context.Context, a asked[[]Product], missing *degraded) ([]Product, Freshness, error) {
	if a.err == nil {
		s.rememberProducts(a.value)
		return a.value, Freshness{}, nil
	}
	s.note(ctx, missing, catalogName, a.err)
	ids, ok := s.listing.get("")
	if !ok {
		return nil, Freshness{}, &UnavailableError{catalogName, a.err}
	}
	var all []Product
	for _, id := range ids.value {
		if r, ok := s.products.get(id); ok {
			all = append(all, r.value)
		}
	}
	return all, Freshness{Stale: true, AsOf: ids.at}, nil
}

func (s *Shop) rememberProducts(all []Product) {
	now := time.Now()
	all = all[:min(len(all), rememberedProducts)]
	ids := make([]string, 0, len(all))
	for _, p := range all {
		s.products.put(p.ID, p, now)
		ids = append(ids, p.ID)
	}
	s.listing.put("", ids, now)
}

func (s *Shop) productOrRemembered(ctx context.Context, id string, a asked[Product], missing *degraded) (Product, Freshness, error) {
	switch {
	case a.err == nil:
		s.products.put(id, a.value, time.Now())
		return a.value, Freshness{}, nil
	case errors.Is(a.err, ErrNotFound):
		s.products.forget(id)
		return Product{}, Freshness{}, ErrNotFound
	}
	s.note(ctx, missing, catalogName, a.err)
	r, ok := s.products.get(id)
	if !ok {
		return Product{}, Freshness{}, &UnavailableError{catalogName, a.err}
	}
	return r.value, Freshness{Stale: true, AsOf: r.at}, nil
}

// offer puts together what is known of p. priced says that price is pricing's
// answer; pricingUp that pricing answered at all, so that nothing old is shown
// in place of a price that is gone. counted says that left is inventory's.
func (s *Shop) offer(p Product, price kit.Money, priced, pricingUp bool, left int, counted bool) Offer {
	o := Offer{Product: p, Availability: Unknown}
	switch {
	case priced:
		o.Price = &Price{Money: price}
	case !pricingUp:
		o.Price = s.lastPrice(p.ID)
	}
	if counted {
		o.Availability, o.Left = availabilityOf(left), left
	}
	return o
}

func (s *Shop) lastPrice(product string) *Price {
	r, ok := s.prices.get(product)
	if !ok {
		return nil
	}
	return &Price{Money: r.value, Stale: true, AsOf: r.at}
}
