package storefront

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Budgets of calls to the cart service. They are longer than that of the
// neighbours an answer can do without: each has room for a second try after
// one replica has hung.
const (
	cartBudget     = 4 * time.Second
	checkoutBudget = 8 * time.Second
)

// CreateCart returns a new cart, and with the same key the same cart. The
// errors of this and all that follows are a [*RefusedError] or an
// [*UnavailableError].
func (s *Shop) CreateCart(ctx context.Context, key string) (Cart, error) {
	ctx, cancel := context.WithTimeout(ctx, cartBudget)
	defer cancel()
	return s.Carts.Create(ctx, key)
}

// Put sets how many pieces of a product are in a cart, with the same key once,
// and returns the cart. A product that the shop does not sell is [ErrNotFound].
func (s *Shop) Put(ctx context.Context, id, key string, item Item) (Cart, error) {
	if !s.known(ctx, item.Product) {
		return Cart{}, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, cartBudget)
	defer cancel()
	return s.Carts.Put(ctx, id, key, item)
}

// known reports whether the shop sells the product, from memory if it can. It
// is true when nobody can say: the checkout will tell.
func (s *Shop) known(ctx context.Context, id string) bool {
	if _, ok := s.products.get(id); ok {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, s.budget)
	defer cancel()
	p, err := s.Catalog.Product(ctx, id)
	if err == nil {
		s.products.put(id, p, time.Now())
	}
	return !errors.Is(err, ErrNotFound)
}

// Remove takes a product out of a cart, with the same key once, and returns the
// cart.
func (s *Shop) Remove(ctx context.Context, id, key, product string) (Cart, error) {
	ctx, cancel := context.WithTimeout(ctx, cartBudget)
	defer cancel()
	return s.Carts.Remove(ctx, id, key, product)
}

// Checkout orders a cart: with the same key once, however often it is called.
// After an error that is not a [*RefusedError] the order may have been made or
// not; calling again with the same key tells.
func (s *Shop) Checkout(ctx context.Context, id, key string) (Order, error) {
	ctx, cancel := context.WithTimeout(ctx, checkoutBudget)
	defer cancel()
	o, err := s.Carts.Checkout(ctx, id, key)
	if e, ok := errors.AsType[*UnavailableError](err); ok {
		return Order{}, &UnavailableError{checkoutName, e.Err}
	}
	return o, err
}

// View returns a cart with names and, unless it has been ordered, with today's
// prices. The error is that of [Carts.Cart]; names and prices may be old or
// missing.
func (s *Shop) View(ctx context.Context, id string) (CartView, error) {
	var products asked[[]Product]
	var wg sync.WaitGroup
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, s.budget)
		defer cancel()
		products.ask(s.Catalog.Products(ctx))
	})
	cart, err := s.readCart(ctx, id)
	var quote asked[Quote]
	if err == nil && len(cart.Items) > 0 && cart.Order == nil {
		quote.ask(s.quote(ctx, cart.Items))
	}
	wg.Wait()
	if err != nil {
		return CartView{}, err
	}
	view := CartView{Cart: cart}
	var missing degraded
	s.note(ctx, &missing, pricingName, quote.err)
	if len(cart.Items) > 0 {
		// Names that are not remembered either stay IDs: no reason to fail.
		_, _, _ = s.productsOrRemembered(ctx, products, &missing)
	}
	view.Lines, view.Total = s.lines(cart.Items, quote)
	view.Degraded = missing
	return view, nil
}

func (s *Shop) readCart(ctx context.Context, id string) (Cart, error) {
	ctx, cancel := context.WithTimeout(ctx, cartBudget)
	defer cancel()
	return s.Carts.Cart(ctx, id)
}

func (s *Shop) quote(ctx context.Context, items []Item) (Quote, error) {
	ctx, cancel := context.WithTimeout(ctx, s.budget)
	defer cancel()
	return s.Pricing.Quote(ctx, items)
}

// lines names and prices items: by the quote, or else by the last prices
// known. total is nil if a line has no price.
func (s *Shop) lines(items []Item, quote asked[Quote]) (lines []CartLine, total *Price) {
	quoted := make(map[string]PricedItem, len(items))
	for _, l := range quote.value.Lines {
		quoted[l.Product] = l
	}
	sum, complete := &Price{}, len(items) > 0
	for _, it := range items {
		line := CartLine{Item: it, Name: it.Product}
		if r, ok := s.products.get(it.Product); ok {
			line.Name = r.value.Name
		}
		if q, ok := quoted[it.Product]; ok {
			line.Unit, line.Total = &Price{Money: q.Unit}, &Price{Money: q.Total}
		} else if quote.err != nil {
			line.Unit, line.Total = s.lastTotal(it)
		}
		complete = complete && sum.add(line.Total)
		lines = append(lines, line)
	}
	if !complete {
		return lines, nil
	}
	if quote.err == nil {
		sum.Money = quote.value.Total
	}
	return lines, sum
}

func (s *Shop) lastTotal(it Item) (unit, total *Price) {
	unit = s.lastPrice(it.Product)
	if unit == nil {
		return nil, nil
	}
	m, ok := unit.Times(it.Quantity)
	if !ok {
		return unit, nil
	}
	return unit, &Price{Money: m, Stale: true, AsOf: unit.AsOf}
}

// add adds o to p and reports whether it could. The sum is as stale as its
// oldest part.
func (p *Price) add(o *Price) bool {
	if o == nil {
		return false
	}
	m, ok := p.Plus(o.Money)
	if !ok {
		return false
	}
	p.Money = m
	if o.Stale && (!p.Stale || o.AsOf.Before(p.AsOf)) {
		p.Stale, p.AsOf = true, o.AsOf
	}
	return true
}
