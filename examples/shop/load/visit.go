package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// maxTries bounds how often a visitor repeats a call that failed.
const maxTries = 5

// visit is one visitor's way through the shop: one step for each arrival.
type visit struct {
	shop *shop
	rand *rand.Rand
	next step
	// ready is when the visitor has thought enough about the last answer.
	ready time.Time

	tries    int
	products []string
	looks    int            // product pages still to look at
	cart     string         // id, once there is one
	wanted   []item         // to put into the cart
	has      map[string]int // acknowledged quantities in the cart
	key      string         // of the checkout
	repeats  int            // of a checkout that went well
	ordered  bool
}

type item struct {
	product  string
	quantity int
}

// step makes one call whose intended start is at, and returns the step after
// it; nil ends the visit.
type step func(ctx context.Context, at time.Time) step

// newVisit begins a visit. Two of five visitors only look.
func newVisit(s *shop, seed, number uint64) *visit {
	v := &visit{shop: s, rand: rand.New(rand.NewPCG(seed, number)), has: map[string]int{}}
	v.looks = 1 + v.rand.IntN(2)
	v.key = fmt.Sprintf("load-%x-%d", seed, number)
	v.next = v.list
	return v
}

// think returns how long the visitor looks at an answer, at most ten times mean.
func (v *visit) think(mean time.Duration) time.Duration {
	return time.Duration(min(v.rand.ExpFloat64(), 10) * float64(mean))
}

// again repeats a call that failed, but not for ever.
func (v *visit) again(s step) step {
	v.tries++
	if v.tries >= maxTries {
		return nil
	}
	return s
}

func (v *visit) list(ctx context.Context, at time.Time) step {
	var page struct {
		Products []struct {
			ID string `json:"id"`
		} `json:"products"`
	}
	a := v.shop.call(ctx, at, request{name: "list products", method: http.MethodGet, path: "/api/products"}, &page)
	if !a.good || len(page.Products) == 0 {
		return nil
	}
	for _, p := range page.Products {
		v.products = append(v.products, p.ID)
	}
	return v.look
}

func (v *visit) look(ctx context.Context, at time.Time) step {
	path := "/api/products/" + url.PathEscape(v.anyProduct())
	v.shop.call(ctx, at, request{name: "show product", method: http.MethodGet, path: path}, nil)
	v.looks--
	switch {
	case v.looks > 0:
		return v.look
	case v.rand.Float64() < 0.4:
		return nil
	}
	return v.create
}

func (v *visit) anyProduct() string { return v.products[v.rand.IntN(len(v.products))] }

func (v *visit) create(ctx context.Context, at time.Time) step {
	var cart struct {
		ID string `json:"id"`
	}
	key := v.key + "-cart"
	a := v.shop.call(ctx, at, request{name: "create cart", method: http.MethodPost, path: "/api/carts", key: key}, &cart)
	switch {
	case !a.good:
		return v.again(v.create)
	case cart.ID == "":
		v.shop.ledger.broken("cart with key %s was answered without an id", key)
		return nil
	}
	v.tries, v.cart = 0, cart.ID
	chosen := map[string]bool{}
	for range 1 + v.rand.IntN(3) {
		if p := v.anyProduct(); !chosen[p] {
			chosen[p] = true
			v.wanted = append(v.wanted, item{p, 1 + v.rand.IntN(2)})
		}
	}
	return v.put
}

func (v *visit) cartPath() string { return "/api/carts/" + url.PathEscape(v.cart) }

// put puts the first of the wanted items into the cart. Each is put with one
// quantity only, so that an attempt which arrives late changes nothing.
func (v *visit) put(ctx context.Context, at time.Time) step {
	want := v.wanted[0]
	a := v.shop.call(ctx, at, request{
		name: "put item", method: http.MethodPut, path: v.cartPath() + "/items/" + url.PathEscape(want.product),
		body: map[string]int{"quantity": want.quantity},
	}, nil)
	switch {
	case a.status == http.StatusNotFound:
		return v.lostCart()
	case !a.good:
		return v.again(v.put)
	}
	v.tries = 0
	v.has[want.product] = want.quantity
	v.wanted = v.wanted[1:]
	if len(v.wanted) > 0 {
		return v.put
	}
	return v.read
}

// lostCart ends the visit: the shop does not know a cart that it gave out.
func (v *visit) lostCart() step {
	v.shop.ledger.broken("cart %s was acknowledged and is not there", v.cart)
	return nil
}

func (v *visit) read(ctx context.Context, at time.Time) step {
	var cart cartAnswer
	a := v.shop.call(ctx, at, request{name: "read cart", method: http.MethodGet, path: v.cartPath()}, &cart)
	switch {
	case a.status == http.StatusNotFound:
		return v.lostCart()
	case !a.good:
		return v.again(v.read)
	}
	v.tries = 0
	for product, quantity := range v.has {
		if got := cart.quantity(product); got != quantity {
			v.shop.ledger.broken("cart %s: %d of %s were acknowledged, %d are there", v.cart, quantity, product, got)
		}
	}
	return v.checkout
}

// cartAnswer is the part of a cart that is verified.
type cartAnswer struct {
	Items []struct {
		Product  string `json:"product"`
		Quantity int    `json:"quantity"`
	} `json:"items"`
}

func (c cartAnswer) quantity(product string) (sum int) {
	for _, it := range c.Items {
		if it.Product == product {
			sum += it.Quantity
		}
	}
	return sum
}

// checkout orders the cart. A failure is repeated with the same key, as a
// visitor does who cannot know whether the order went through; and of those
// that went well, some are repeated too.
func (v *visit) checkout(ctx context.Context, at time.Time) step {
	var order struct {
		Order string `json:"order"`
	}
	name := "checkout"
	if v.ordered {
		name = "repeat checkout"
	}
	a := v.shop.call(ctx, at, request{
		name: name, method: http.MethodPost, path: v.cartPath() + "/checkout", key: v.key, mayRefuse: true,
	}, &order)
	switch {
	case v.ordered && a.refused:
		v.shop.ledger.broken("checkout %s succeeded, its repetition was refused with %d", v.key, a.status)
		return nil
	case a.refused:
		return nil
	case !a.good:
		return v.again(v.checkout)
	case order.Order == "":
		v.shop.ledger.broken("checkout %s was answered without an order number", v.key)
		return nil
	}
	v.tries = 0
	v.shop.ledger.ordered(v.key, order.Order)
	if !v.ordered {
		v.ordered = true
		v.repeats = max(0, v.rand.IntN(5)-2) // none, none, none, one, two
	} else {
		v.repeats--
	}
	if v.repeats > 0 {
		return v.checkout
	}
	return nil
}
