package shoptest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/gabion-go/gabion/examples/shop/catalog"
)

// buyer fills carts and buys them, one after the other, whatever it takes, and
// keeps books.
type buyer struct {
	Browser
	*rand.Rand
	*simulation
	name  string
	carts int
}

// tries is how often a buyer presses a button before giving up.
const tries = 3

// shopUntil goes shopping until that time of the network.
func (b *buyer) shopUntil(end time.Duration) {
	for b.Net.Since() < end {
		l, a := b.newCart(tries)
		if l == nil {
			if a.Final() {
				b.Errorf("a new cart: got %v", a)
			}
			continue
		}
		for i := range 2 + b.IntN(3) {
			b.change(l, i)
			b.pause()
		}
		for range (1 + b.IntN(7)) / 3 { // the second time is a double click
			b.buy(l, tries)
		}
		b.pause()
	}
}

func (b *buyer) pause() { time.Sleep(time.Duration(50+b.IntN(350)) * time.Millisecond) }

// insist repeats a request until there is an answer that stands.
func (b *buyer) insist(tries int, method, path, key, body string) Answer {
	var a Answer
	for range tries {
		if a = b.Do(method, path, key, body); a.Final() {
			break
		}
		time.Sleep(300 * time.Millisecond)
	}
	return a
}

// newCart returns the books of a new cart, or nil if none was made.
func (b *buyer) newCart(tries int) (*ledger, Answer) {
	b.carts++
	a := b.insist(tries, http.MethodPost, "/api/carts", fmt.Sprintf("%s cart %d", b.name, b.carts), "")
	var c contents
	if !a.OK() || a.Decode(&c) != nil || c.ID == "" {
		return nil, a
	}
	l := &ledger{cart: c.ID}
	b.books.add(l)
	return l, a
}

// change makes the i-th change of a cart: it sets a quantity that no other
// change sets, or, now and then, takes a product out.
func (b *buyer) change(l *ledger, i int) {
	product, quantity := catalog.Seed()[b.IntN(products)].ID, 1+3*i+b.IntN(3)
	if b.IntN(6) == 0 {
		quantity = 0
	}
	if a := b.set(l, product, quantity, tries); a.Final() && !a.OK() {
		b.Errorf("cart %s: %d of %s refused: %v", l.cart, quantity, product, a)
	}
}

func (b *buyer) set(l *ledger, product string, quantity, tries int) Answer {
	method, body := http.MethodPut, fmt.Sprintf(`{"quantity":%d}`, quantity)
	if quantity == 0 {
		method, body = http.MethodDelete, ""
	}
	key := fmt.Sprintf("%s %d of %s", l.cart, quantity, product)
	if quantity == 0 {
		key = fmt.Sprintf("%s none of %s after %d changes", l.cart, product, len(l.changes[product]))
	}
	a := b.insist(tries, method, "/api/carts/"+l.cart+"/items/"+product, key, body)
	l.changed(product, quantity, a.OK())
	var c contents
	if a.OK() && (a.Decode(&c) != nil || c.quantity(product) != quantity) {
		b.Errorf("cart %s: set to %d of %s, answer %s", l.cart, quantity, product, a.Body)
	}
	return a
}

// buy asks for the order of a cart and notes the answer, if there is one.
func (b *buyer) buy(l *ledger, tries int) Answer {
	l.tried = true
	a := b.insist(tries, http.MethodPost, "/api/carts/"+l.cart+"/checkout", l.key(), "")
	var o order
	switch {
	case a.OK():
		if a.Decode(&o) != nil || o.ID == "" || o.Cart != l.cart {
			b.Errorf("cart %s: checkout answered %s", l.cart, a.Body)
		}
		if l.order != nil && (l.order.ID != o.ID || !slices.Equal(l.order.Lines, o.Lines)) {
			b.Errorf("cart %s: order %v and, when repeated, %v", l.cart, *l.order, o)
		}
		l.order = &o
	case a.Final():
		l.refused = a.Body
	}
	return a
}

// ill says what is wrong with the shop: it is well if the list of products is
// whole and somebody can buy one, all at the first try.
func (b *buyer) ill() string {
	if a := b.Get("/api/products"); !a.OK() || a.Degraded != "" {
		return fmt.Sprintf("products: %v", a)
	}
	l, a := b.newCart(1)
	if l == nil {
		return fmt.Sprintf("new cart: %v", a)
	}
	if a := b.set(l, "enamel-mug", 1, 1); !a.OK() {
		return fmt.Sprintf("change: %v", a)
	}
	if a := b.buy(l, 1); a.Status != http.StatusCreated {
		return fmt.Sprintf("checkout: %v", a)
	}
	return ""
}
