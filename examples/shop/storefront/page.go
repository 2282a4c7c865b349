package storefront

import (
	"bytes"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strings"
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

// sorryPage is the page of "sorry".
type sorryPage struct{ Title, Text string }

func (p *pages) home(w http.ResponseWriter, r *http.Request) {
	mine := p.readMine(r)
	l, err := p.shop.Listing(r.Context())
	if err != nil {
		p.log.DebugContext(r.Context(), "page without products", "error", err)
	}
	cart, cartErr := mine()
	missing := withCart(l.Degraded, cartErr)
	page := newHomePage(l.Offers, r.FormValue("category"))
	markDegraded(w, missing)
	p.render(w, r, http.StatusOK, "home", view{page.Category, cart.count(), notices(missing, l.Freshness), page})
}

// newHomePage shows the offers of one category, or all if there is none of that
// name.
func newHomePage(offers []Offer, category string) homePage {
	var page homePage
	for _, o := range offers {
		if !slices.Contains(page.Categories, o.Category) {
			page.Categories = append(page.Categories, o.Category)
		}
	}
	if slices.Contains(page.Categories, category) {
		page.Category = category
	}
	for _, o := range offers {
		if page.Category == "" || o.Category == page.Category {
			page.Offers = append(page.Offers, o)
		}
	}
	return page
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

func withCart(missing []string, err error) []string {
	d := degraded(slices.Clone(missing))
	if err != nil {
		d.add(cartName)
	}
	return d
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
