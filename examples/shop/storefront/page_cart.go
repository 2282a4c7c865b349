package storefront

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// cartPage is the page of "cart" and of the fragment "cart-body".
type cartPage struct {
	CartView
	Message string // read out by screen readers
	Notices []string
	Missing bool // the cart could not be read
}

func (p *pages) cart(w http.ResponseWriter, r *http.Request) {
	p.showCart(w, r, http.StatusOK, mineID(r), "", nil)
}

// addItem adds pieces to what the cart holds of a product. It makes the cart
// if the browser has none.
func (p *pages) addItem(w http.ResponseWriter, r *http.Request) {
	product, quantity, ok := form(w, r)
	if !ok || quantity < 1 || quantity > maxAdd {
		p.badForm(w, r)
		return
	}
	id, message, err := p.add(r.Context(), mineID(r), Item{product, quantity})
	if id != "" {
		setMine(w, r, id)
	}
	p.changed(w, r, id, message, err)
}

func (p *pages) add(ctx context.Context, id string, item Item) (cart, message string, err error) {
	have, err := p.open(ctx, id)
	if err != nil {
		return id, "", err
	}
	for _, it := range have.Items {
		if it.Product == item.Product {
			item.Quantity += it.Quantity
		}
	}
	after, err := p.shop.Put(ctx, have.ID, rand.Text(), item)
	if err != nil {
		return have.ID, "", err
	}
	return have.ID, "Added. Pieces in the cart: " + strconv.Itoa(after.count()), nil
}

// open returns the cart to put things into: the browser's, or a new one if it
// has none, or one that is gone or has been ordered.
func (p *pages) open(ctx context.Context, id string) (Cart, error) {
	if id != "" {
		have, err := p.shop.readCart(ctx, id)
		if err == nil && have.Order == nil {
			return have, nil
		}
		if err != nil && !isGone(err) {
			return Cart{}, err
		}
	}
	return p.shop.CreateCart(ctx, rand.Text())
}

// setItem sets how many pieces of a product the cart holds; none removes it.
func (p *pages) setItem(w http.ResponseWriter, r *http.Request) {
	product, quantity, ok := form(w, r)
	id := mineID(r)
	if !ok || quantity < 0 || quantity > maxAdd {
		p.badForm(w, r)
		return
	}
	var err error
	switch {
	case id == "":
	case quantity == 0:
		_, err = p.shop.Remove(r.Context(), id, rand.Text(), product)
	default:
		_, err = p.shop.Put(r.Context(), id, rand.Text(), Item{product, quantity})
	}
	p.changed(w, r, id, "The cart has changed.", err)
}

// changed answers a change of the cart: a browser with scripts gets the new
// cart, one without goes to the cart's page. What went wrong is shown there.
func (p *pages) changed(w http.ResponseWriter, r *http.Request, id, message string, err error) {
	if err == nil && r.Header.Get(headerFragment) == "" {
		http.Redirect(w, r, "/cart", http.StatusSeeOther)
		return
	}
	p.showCart(w, r, http.StatusOK, id, message, err)
}

// checkout orders the browser's cart. Its idempotency key belongs to the cart:
// a second press of the button, in another tab or after a reload, repeats the
// one order that a cart can become.
func (p *pages) checkout(w http.ResponseWriter, r *http.Request) {
	id := mineID(r)
	if id == "" {
		http.Redirect(w, r, "/cart", http.StatusSeeOther)
		return
	}
	if _, err := p.shop.Checkout(r.Context(), id, "page-"+id); err != nil {
		p.showCart(w, r, problem(err).Status, id, "", err)
		return
	}
	setMine(w, r, "")
	http.Redirect(w, r, "/orders/"+url.PathEscape(id), http.StatusSeeOther)
}

func (p *pages) order(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("cart")
	if !validID(id) {
		p.notFound(w, r)
		return
	}
	v, err := p.shop.View(r.Context(), id)
	switch {
	case err != nil && isGone(err), err == nil && v.Order == nil:
		p.notFound(w, r)
	case err != nil:
		markDegraded(w, []string{cartName})
		p.render(w, r, http.StatusOK, "sorry", view{"Your order", 0, nil, sorryPage{
			"Your order is safe", "We cannot show it right now. Please reload this page in a minute.",
		}})
	default:
		markDegraded(w, v.Degraded)
		p.render(w, r, http.StatusOK, "order", view{"Thank you", 0, nil, v})
	}
}

// showCart answers with the cart, as a page or as a piece of one, and with what
// went wrong before.
func (p *pages) showCart(w http.ResponseWriter, r *http.Request, status int, id, message string, failed error) {
	page := cartPage{Message: message}
	var err error
	if id != "" {
		page.CartView, err = p.shop.View(r.Context(), id)
	}
	switch {
	case err != nil && isGone(err), page.Order != nil:
		page.CartView = CartView{}
		setMine(w, r, "")
	case err != nil:
		page.Missing = true
		page.Degraded = []string{cartName}
	}
	if failed != nil {
		page.Message = p.shop.reason(failed)
		page.Notices = []string{page.Message}
	}
	page.Notices = append(page.Notices, notices(page.Degraded, Freshness{})...)
	markDegraded(w, page.Degraded)
	if r.Header.Get(headerFragment) != "" {
		w.Header().Set(headerFragment, "cart")
		p.render(w, r, http.StatusOK, "cart-body", page)
		return
	}
	p.render(w, r, status, "cart", view{"Your cart", page.Count(), nil, page})
}

// readMine begins to read the browser's cart and returns a function that waits
// for it. A cart that is gone or ordered counts as none.
func (p *pages) readMine(r *http.Request) func() (Cart, error) {
	id := mineID(r)
	if id == "" {
		return func() (Cart, error) { return Cart{}, nil }
	}
	var cart Cart
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(r.Context(), p.shop.budget)
		defer cancel()
		cart, err = p.shop.Carts.Cart(ctx, id)
	})
	return func() (Cart, error) {
		wg.Wait()
		if isGone(err) || cart.Order != nil {
			return Cart{}, nil
		}
		return cart, err
	}
}

// isGone reports whether err says that there is no such cart.
func isGone(err error) bool {
	e, refused := errors.AsType[*RefusedError](err)
	return refused && e.Status == http.StatusNotFound || errors.Is(err, ErrNotFound)
}

// form reads the product and the quantity of a posted form.
func form(w http.ResponseWriter, r *http.Request) (product string, quantity int, ok bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	product = r.PostFormValue("product")
	quantity, err := strconv.Atoi(r.PostFormValue("quantity"))
	return product, quantity, err == nil && validID(product)
}

// mineID returns the ID of the browser's cart, empty if it has none.
func mineID(r *http.Request) string {
	c, err := r.Cookie(cartCookie)
	if err != nil || !validID(c.Value) {
		return ""
	}
	return c.Value
}

// setMine makes id the browser's cart; empty means none.
func setMine(w http.ResponseWriter, r *http.Request, id string) {
	c := &http.Cookie{
		Name: cartCookie, Value: id, Path: "/", MaxAge: int((30 * 24 * time.Hour).Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	}
	if id == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
