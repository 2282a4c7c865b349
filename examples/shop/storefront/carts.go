package storefront

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

type httpCarts struct{ peer }

type cartWire struct {
	ID      string     `json:"id"`
	Items   []itemWire `json:"items"`
	Order   *orderWire `json:"order,omitempty"`
	Version int64      `json:"version"`
}

type orderWire struct {
	Order string     `json:"order"`
	Cart  string     `json:"cart"`
	Lines []itemWire `json:"lines"`
	Total kit.Money  `json:"total"`
}

func (w orderWire) sane(cart string) bool {
	return w.Order != "" && w.Cart == cart && saneMoney(w.Total)
}

func (w orderWire) order() *Order {
	o := &Order{Number: w.Order, Cart: w.Cart, Total: w.Total}
	for _, l := range w.Lines {
		o.Items = append(o.Items, Item(l))
	}
	return o
}

func (c httpCarts) Create(ctx context.Context, key string) (Cart, error) {
	return c.cart(ctx, "", call{method: http.MethodPost, path: []string{"carts"}, key: key})
}

func (c httpCarts) Cart(ctx context.Context, id string) (Cart, error) {
	return c.cart(ctx, id, call{method: http.MethodGet, path: []string{"carts", id}})
}

func (c httpCarts) Put(ctx context.Context, id, key string, item Item) (Cart, error) {
	return c.cart(ctx, id, call{
		method: http.MethodPut, path: []string{"carts", id, "items", item.Product}, key: key,
		body: struct {
			Quantity int `json:"quantity"`
		}{item.Quantity},
	})
}

func (c httpCarts) Remove(ctx context.Context, id, key, product string) (Cart, error) {
	return c.cart(ctx, id, call{method: http.MethodDelete, path: []string{"carts", id, "items", product}, key: key})
}

// cart sends a call that is answered with the cart, or with 204 and no cart.
func (c httpCarts) cart(ctx context.Context, id string, what call) (Cart, error) {
	a, err := c.try(ctx, what)
	if err != nil {
		return Cart{}, err
	}
	if a.status == http.StatusNoContent {
		return c.Cart(ctx, id)
	}
	var w cartWire
	if err := c.decode(a, &w); err != nil {
		return Cart{}, err
	}
	if !validID(w.ID) || (id != "" && w.ID != id) {
		return Cart{}, c.garbage("another cart than the one asked for")
	}
	cart := Cart{ID: w.ID, Version: w.Version}
	if w.Order != nil {
		if !w.Order.sane(w.ID) {
			return Cart{}, c.garbage("an order that is none")
		}
		cart.Order = w.Order.order()
	}
	for _, it := range w.Items {
		cart.Items = append(cart.Items, Item(it))
	}
	return cart, nil
}

func (c httpCarts) Checkout(ctx context.Context, id, key string) (Order, error) {
	a, err := c.try(ctx, call{method: http.MethodPost, path: []string{"carts", id, "checkout"}, key: key})
	if err != nil {
		return Order{}, err
	}
	var w orderWire
	if err := c.decode(a, &w); err != nil {
		return Order{}, err
	}
	if !w.sane(id) {
		return Order{}, c.garbage("another order than the one asked for")
	}
	o := w.order()
	o.New = a.status == http.StatusCreated
	return *o, nil
}

// try sends a call that the cart service does or refuses. It writes its
// problems for the user, even of a 503 when it cannot order because one of its
// own neighbours is down.
func (c httpCarts) try(ctx context.Context, what call) (answer, error) {
	a, err := c.do(ctx, what)
	if err != nil {
		return answer{}, err
	}
	switch {
	case a.status >= 200 && a.status < 300:
		return a, nil
	case a.status >= 400 && a.status < 500:
		return answer{}, a.refused()
	case a.status == http.StatusServiceUnavailable:
		if r := a.refused(); strings.HasPrefix(r.Type, "/problems/") {
			return answer{}, r
		}
	}
	return answer{}, c.unavailable(fmt.Errorf("status %d", a.status))
}
