package storefront

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cartCookie holds the ID of the browser's cart.
const cartCookie = "cart"

// headerFragment asks for, and marks, a piece of a page in place of the whole.
const headerFragment = "X-Fragment"

// maxAdd is how many pieces one form can put into a cart.
const maxAdd = 99

// policy lets a page load what comes from the shop itself and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

type pages struct {
	shop   *Shop
	log    *slog.Logger
	tmpl   *template.Template
	assets assets
}

// PageRoutes returns the shop's pages by [http.ServeMux] pattern. They work
// without scripts, are there whatever is wrong with a neighbour, and take
// changes from the shop's own pages only.
func PageRoutes(shop *Shop, log *slog.Logger) map[string]http.HandlerFunc {
	p := &pages{shop: shop, log: log, assets: newAssets()}
	p.tmpl = template.Must(template.New("").Funcs(template.FuncMap{
		"asset":      func(name string) string { return p.assets.paths[name] },
		"image":      imagePath,
		"clock":      func(t time.Time) string { return t.UTC().Format("15:04 UTC") },
		"tint":       tint,
		"upTo":       upTo,
		"quantities": quantities,
	}).ParseFS(files, "templates/*.html"))
	routes := map[string]http.HandlerFunc{
		"GET /{$}":            p.home,
		"GET /products/{id}":  p.product,
		"GET /cart":           p.cart,
		"POST /cart/items":    p.addItem,
		"POST /cart/set":      p.setItem,
		"POST /cart/checkout": p.checkout,
		"GET /orders/{cart}":  p.order,
		"GET /images/{file}":  p.image,
		"GET /assets/{file}":  p.assets.serve,
		"GET /favicon.ico":    p.favicon,
	}
	sameSite := http.NewCrossOriginProtection()
	for pattern, h := range routes {
		routes[pattern] = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", policy)
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Referrer-Policy", "same-origin")
			sameSite.Handler(h).ServeHTTP(w, r)
		}
	}
	return routes
}

// view is what a template is given.
type view struct {
	Title   string
	Count   int // pieces in the cart
	Notices []string
	Page    any
}

// homePage is the page of "home".
type homePage struct {
	Offers     []Offer
	Categories []string
	Category   string // the one shown; empty for all
}

// cartPage is the page of "cart" and of the fragment "cart-body".
type cartPage struct {
	CartView
	Message string // read out by screen readers
	Notices []string
	Missing bool // the cart could not be read
}

// sorryPage is the page of "sorry".
type sorryPage struct{ Title, Text string }

func (p *pages) home(w http.ResponseWriter, r *http.Request) {
	mine := p.readMine(r)
	l, err := p.shop.Listing(r.Context())
	cart, cartErr := mine()
	missing := withCart(l.Degraded, cartErr)
	page := homePage{Category: r.FormValue("category")}
	for _, o := range l.Offers {
		if !slices.Contains(page.Categories, o.Category) {
			page.Categories = append(page.Categories, o.Category)
		}
	}
	if !slices.Contains(page.Categories, page.Category) {
		page.Category = ""
	}
	for _, o := range l.Offers {
		if page.Category == "" || o.Category == page.Category {
			page.Offers = append(page.Offers, o)
		}
	}
	title := page.Category
	if err != nil {
		p.log.DebugContext(r.Context(), "page without products", "error", err)
	}
	markDegraded(w, missing)
	p.render(w, r, http.StatusOK, "home", view{title, cart.count(), notices(missing, l.Freshness), page})
}

func (p *pages) product(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !validID(id) {
		p.notFound(w, r)
		return
	}
	mine := p.readMine(r)
	d, err := p.shop.Detail(r.Context(), id)
	cart, cartErr := mine()
	missing := withCart(d.Degraded, cartErr)
	markDegraded(w, missing)
	switch {
	case errors.Is(err, ErrNotFound):
		p.notFound(w, r)
	case err != nil:
		p.render(w, r, http.StatusOK, "sorry", view{"Back in a moment", cart.count(), nil, sorryPage{
			"Back in a moment", "We cannot show this product right now. Your cart is not affected. Please try again in a minute.",
		}})
	default:
		p.render(w, r, http.StatusOK, "product", view{d.Name, cart.count(), notices(missing, d.Freshness), d})
	}
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
	after, err := p.shop.Put(ctx, have.ID, item)
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
		_, err = p.shop.Remove(r.Context(), id, product)
	default:
		_, err = p.shop.Put(r.Context(), id, Item{product, quantity})
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

func (p *pages) image(w http.ResponseWriter, r *http.Request) {
	id, ok := strings.CutSuffix(r.PathValue("file"), ".svg")
	if !ok || !validID(id) {
		http.NotFound(w, r)
		return
	}
	svg, err := p.shop.Image(r.Context(), id)
	switch {
	case errors.Is(err, ErrNotFound):
		http.NotFound(w, r)
		return
	case err != nil:
		svg = noImage
		w.Header().Set("Cache-Control", "no-store")
	default:
		w.Header().Set("Cache-Control", "public, max-age=3600")
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	_, _ = w.Write([]byte(svg)) // a browser that left needs no answer
}

// noImage stands in for a picture that cannot be had.
const noImage = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200"><g fill="#8b8479" opacity=".35"><rect x="40" y="96" width="66" height="48" rx="20"/><rect x="112" y="104" width="50" height="40" rx="18"/><rect x="72" y="58" width="62" height="40" rx="18"/></g></svg>`

func (p *pages) favicon(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, p.assets.paths["icon.svg"], http.StatusFound)
}

func (p *pages) notFound(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusNotFound, "sorry", view{"Not found", 0, nil, sorryPage{
		"There is nothing here", "It may have been taken off the shelf, or the address has a slip in it.",
	}})
}

func (p *pages) badForm(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusBadRequest, "sorry", view{"Not understood", 0, nil, sorryPage{
		"That form was not understood", "Please go back to the shop and try again.",
	}})
}

// render writes a page that is complete or not there at all.
func (p *pages) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var page bytes.Buffer
	if err := p.tmpl.ExecuteTemplate(&page, name, data); err != nil {
		p.log.ErrorContext(r.Context(), "page not rendered", "page", name, "error", err)
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // a browser that left needs no answer
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

func withCart(missing []string, err error) []string {
	d := degraded(slices.Clone(missing))
	if err != nil {
		d.add(cartName)
	}
	return d
}

// notices says in words what a page does without.
func notices(missing []string, fresh Freshness) (out []string) {
	for _, m := range missing {
		switch m {
		case catalogName:
			if fresh.Stale {
				out = append(out, "This is our list of products as of "+fresh.AsOf.UTC().Format("15:04 UTC")+". We are catching up.")
			}
		case pricingName:
			out = append(out, "Prices cannot be confirmed right now. You see the last ones we know; orders wait until they are confirmed.")
		case inventoryName:
			out = append(out, "We cannot see our stock right now, so availability is unknown.")
		case cartName:
			out = append(out, "Your cart cannot be reached right now. What is in it is safe.")
		}
	}
	return out
}

// reason says in words why a change or an order was not made.
func (s *Shop) reason(err error) string {
	e, refused := errors.AsType[*RefusedError](err)
	switch {
	case !refused:
		return problem(err).Detail
	case e.Type == "/problems/pricing-unavailable":
		return "Prices cannot be confirmed right now, so nothing was ordered. Please try again in a moment."
	case e.Status == http.StatusServiceUnavailable:
		return "The order could not be confirmed. Please press the button again in a moment: nothing is ordered twice."
	}
	id, _ := e.Extra["product"].(string)
	if r, ok := s.products.get(id); ok {
		return r.value.Name + ": " + e.Detail
	}
	return e.Detail
}

// tint returns the class of a category's colour.
func tint(category string) string {
	switch c := strings.ToLower(category); c {
	case "kitchen", "desk", "garden", "home":
		return c
	}
	return "plain"
}

func upTo(n int) []int {
	out := make([]int, 0, n)
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

// quantities are the choices of a cart line that now holds n.
func quantities(n int) []int {
	out := upTo(10)
	if n > 10 {
		out = append(out, n)
	}
	return out
}
