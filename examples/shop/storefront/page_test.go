package storefront

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func pagesOf(s *Shop) http.Handler { return mux(PageRoutes(s, slog.New(slog.DiscardHandler))) }

// page gets a page that must be whole, as a browser with a cart, if any.
func page(t *testing.T, h http.Handler, path, cart string) string {
	t.Helper()
	rec := do(h, "GET", path, "", "Cookie", cartCookie+"="+cart)
	body := rec.Body.String()
	if rec.Code != 200 || !strings.Contains(body, "</html>") || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("GET %s: got %d %s", path, rec.Code, body)
	}
	return body
}

func wantAll(t *testing.T, body string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// submit posts a form as a browser without scripts does.
func submit(h http.Handler, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	return do(h, "POST", path, form.Encode(), append([]string{
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin",
	}, header...)...)
}

func TestHomePage(t *testing.T) {
	h := pagesOf(newFleet(t).shop(patient))
	body := page(t, h, "/", "")
	wantAll(t, body, "Enamel mug", "€14.50", "In stock", "Only 12 left", `/images/oak-stool.svg`, "Add Oak stool to the cart")
	if strings.Contains(body, "notice") {
		t.Error("a notice although all is well")
	}
	desk := page(t, h, "/?category=Desk", "")
	if !strings.Contains(desk, "Task lamp") || strings.Contains(desk, "Enamel mug") {
		t.Error("the category is not filtered")
	}
	wantAll(t, page(t, h, "/?category=%3Cscript%3E", ""), "Enamel mug") // no such category: all
}

// Whatever any neighbour does, before the shop knows anything and after, there
// is a page, answered with 200.
func TestPagesStayUp(t *testing.T) {
	for name, fl := range faults() {
		for _, service := range []string{catalogName, pricingName, inventoryName, cartName} {
			run(t, service+" "+name, func(t *testing.T) {
				f := newFleet(t)
				h := pagesOf(f.shop(patient))
				f.hit(service, fl)
				for _, path := range []string{"/", "/products/oak-stool"} {
					page(t, h, path, "cart-1")
				}
				f.hit(service, nil)
				page(t, h, "/", "")
				f.hit(service, fl)
				for _, path := range []string{"/", "/products/oak-stool"} {
					body := page(t, h, path, "cart-1")
					wantAll(t, body, "Oak stool", "€98.00", "notice")
					if strings.Contains(body, "secret") || strings.Contains(body, "10.0.0.7") {
						t.Error("the page tells the inside")
					}
				}
			})
		}
	}
}

func TestNotices(t *testing.T) {
	for service, c := range map[string]struct {
		cold, warm []string
	}{
		catalogName:   {[]string{"The shelves are hidden for a moment"}, []string{"This is our list of products as of"}},
		pricingName:   {[]string{"Price unavailable", "Prices cannot be confirmed"}, []string{"last known price", "€98.00", "Prices cannot be confirmed"}},
		inventoryName: {[]string{"Availability unknown"}, []string{"Availability unknown", "We cannot see our stock"}},
		cartName:      {[]string{"Your cart cannot be reached"}, []string{"Your cart cannot be reached"}},
	} {
		run(t, service, func(t *testing.T) {
			f := newFleet(t)
			h := pagesOf(f.shop(patient))
			f.hit(service, down)
			wantAll(t, page(t, h, "/", "cart-1"), c.cold...)
			f.hit(service, nil)
			page(t, h, "/", "")
			f.hit(service, down)
			wantAll(t, page(t, h, "/", "cart-1"), c.warm...)
			rec := do(h, "GET", "/", "", "Cookie", "cart=cart-1")
			if got := rec.Header().Get(headerDegraded); got != service {
				t.Errorf("header: got %q, want %q", got, service)
			}
		})
	}
}

func TestProductPage(t *testing.T) {
	f := newFleet(t)
	h := pagesOf(f.shop(patient))
	wantAll(t, page(t, h, "/products/oak-stool", ""), "Oak stool", "€98.00", "Goes well with it", "Wool blanket")
	for _, path := range []string{"/products/anvil", "/products/a%2F..%2Fb", "/orders/nope", "/orders/a%2Fb"} {
		if rec := do(h, "GET", path, ""); rec.Code != 404 || !strings.Contains(rec.Body.String(), "</html>") {
			t.Errorf("%s: got %d", path, rec.Code)
		}
	}
	f.hit(catalogName, f.onPath(catalogName, "/recommendations", down))
	if strings.Contains(page(t, h, "/products/oak-stool", ""), "Goes well") {
		t.Error("recommendations that are not there have a heading")
	}
}

// A visit without scripts: two products, a change, a removal, an order.
func TestBuyingByForms(t *testing.T) {
	f := newFleet(t)
	h := pagesOf(f.shop(patient))
	first := submit(h, "/cart/items", url.Values{"product": {"oak-stool"}, "quantity": {"1"}})
	cookies := first.Result().Cookies()
	if first.Code != 303 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode {
		t.Fatalf("first: got %d, cookies %v", first.Code, cookies)
	}
	mine := []string{"Cookie", cartCookie + "=" + cookies[0].Value}
	for _, step := range []struct{ path, product, quantity string }{
		{"/cart/items", "oak-stool", "2"}, // adds up to 3
		{"/cart/items", "enamel-mug", "4"},
		{"/cart/items", "desk-clock", "1"},
		{"/cart/set", "enamel-mug", "5"},
		{"/cart/set", "desk-clock", "0"},
	} {
		if rec := submit(h, step.path, url.Values{"product": {step.product}, "quantity": {step.quantity}}, mine...); rec.Code != 303 {
			t.Fatalf("%+v: got %d %s", step, rec.Code, rec.Body)
		}
	}
	body := page(t, h, "/cart", cookies[0].Value)
	wantAll(t, body, "Oak stool", "€294.00", "€13.78 each", "€68.90", "€362.90", `data-count="8"`)
	if strings.Contains(body, "Desk clock") {
		t.Error("what was removed is still there")
	}
	order := submit(h, "/cart/checkout", nil, mine...)
	at := order.Header().Get("Location")
	if order.Code != 303 || at != "/orders/"+cookies[0].Value || order.Result().Cookies()[0].MaxAge >= 0 {
		t.Fatalf("order: got %d to %q, cookies %v", order.Code, at, order.Result().Cookies())
	}
	wantAll(t, page(t, h, at, ""), "G-page-cart-1", "Oak stool", "3 ×", "€166.90")
	// The button pressed again, in another tab: the same order.
	if again := submit(h, "/cart/checkout", nil, mine...); again.Header().Get("Location") != at {
		t.Errorf("again: got %d %s", again.Code, again.Body)
	}
	wantAll(t, page(t, h, "/cart", cookies[0].Value), "Nothing in it yet")
	next := submit(h, "/cart/items", url.Values{"product": {"oak-stool"}, "quantity": {"1"}}, mine...)
	if c := next.Result().Cookies(); next.Code != 303 || c[0].Value == cookies[0].Value {
		t.Errorf("an ordered cart is used again: %d %v", next.Code, c)
	}
}

func TestCheckoutRefused(t *testing.T) {
	for name, c := range map[string]struct {
		fault  fault
		status int
		want   string
	}{
		"sold out":     {says(409, `{"type":"/problems/insufficient-stock","detail":"There is too little in stock.","product":"oak-stool"}`), 409, "Oak stool: There is too little in stock."},
		"no prices":    {says(503, `{"type":"/problems/pricing-unavailable","detail":"Idempotency-Key"}`), 503, "Prices cannot be confirmed right now, so nothing was ordered."},
		"no inventory": {says(503, `{"type":"/problems/inventory-unavailable","detail":"Idempotency-Key"}`), 503, "nothing is ordered twice"},
		"no cart":      {down, 503, "nothing is ordered twice"},
	} {
		run(t, name, func(t *testing.T) {
			f := newFleet(t)
			h := pagesOf(f.shop(patient))
			page(t, h, "/", "")
			submit(h, "/cart/items", url.Values{"product": {"oak-stool"}, "quantity": {"1"}})
			f.hit(cartName, f.onPath(cartName, "/checkout", c.fault))
			rec := submit(h, "/cart/checkout", nil, "Cookie", "cart=cart-1")
			if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) || !strings.Contains(rec.Body.String(), "€98.00") {
				t.Errorf("got %d %s, want %d %s and the cart", rec.Code, rec.Body, c.status, c.want)
			}
		})
	}
}

// A browser with scripts gets a piece of the page for its drawer.
func TestFragment(t *testing.T) {
	f := newFleet(t)
	h := pagesOf(f.shop(patient))
	form := url.Values{"product": {"oak-stool"}, "quantity": {"2"}}
	rec := submit(h, "/cart/items", form, headerFragment, "cart")
	if rec.Code != 200 || rec.Header().Get(headerFragment) != "cart" || !strings.HasPrefix(rec.Body.String(), `<div class="cart" data-count="2" data-message="Added.`) {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	f.hit(cartName, down)
	rec = submit(h, "/cart/items", form, headerFragment, "cart", "Cookie", "cart=cart-1")
	if rec.Code != 200 || rec.Header().Get(headerFragment) != "cart" || !strings.Contains(rec.Body.String(), "cannot be reached") {
		t.Errorf("cart down: got %d %s", rec.Code, rec.Body)
	}
}

func TestBadForms(t *testing.T) {
	h := pagesOf(newFleet(t).shop(patient))
	for name, c := range map[string]struct {
		form   url.Values
		site   string
		status int
	}{
		"nothing":           {nil, "same-origin", 400},
		"no number":         {url.Values{"product": {"oak-stool"}, "quantity": {"x"}}, "same-origin", 400},
		"none":              {url.Values{"product": {"oak-stool"}, "quantity": {"0"}}, "same-origin", 400},
		"too many":          {url.Values{"product": {"oak-stool"}, "quantity": {"100"}}, "same-origin", 400},
		"a path":            {url.Values{"product": {"../x"}, "quantity": {"1"}}, "same-origin", 400},
		"too large":         {url.Values{"product": {strings.Repeat("x", maxRequest)}, "quantity": {"1"}}, "same-origin", 400},
		"from another site": {url.Values{"product": {"oak-stool"}, "quantity": {"1"}}, "cross-site", 403},
	} {
		run(t, name, func(t *testing.T) {
			if rec := submit(h, "/cart/items", c.form, "Sec-Fetch-Site", c.site); rec.Code != c.status || rec.Header().Get("Set-Cookie") != "" {
				t.Errorf("got %d %s", rec.Code, rec.Header())
			}
		})
	}
}

func TestImages(t *testing.T) {
	f := newFleet(t)
	h := pagesOf(f.shop(patient))
	f.hit(catalogName, down)
	if rec := do(h, "GET", "/images/oak-stool.svg", ""); rec.Code != 200 || rec.Body.String() != noImage || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("not known: got %d %s", rec.Code, rec.Header())
	}
	f.hit(catalogName, nil)
	page(t, h, "/", "")
	f.hit(catalogName, down)
	rec := do(h, "GET", "/images/oak-stool.svg", "")
	if rec.Code != 200 || rec.Header().Get("Content-Type") != "image/svg+xml" || rec.Body.String() == noImage ||
		!strings.Contains(rec.Header().Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("known: got %d %s", rec.Code, rec.Header())
	}
	for _, path := range []string{"/images/oak-stool.png", "/images/..%2f.svg"} {
		if rec := do(h, "GET", path, ""); rec.Code != 404 {
			t.Errorf("%s: got %d", path, rec.Code)
		}
	}
}

// What a neighbour says is text on the page, whatever it looks like.
func TestNeighboursCannotInject(t *testing.T) {
	f := newFleet(t)
	f.hit(catalogName, says(200, `{"products":[{"id":"x","name":"<script>alert(1)</script>","category":"\" onload=\"x","description":"<b>"}]}`))
	body := page(t, pagesOf(f.shop(patient)), "/", "")
	if strings.Contains(body, "<script>alert") || strings.Contains(body, `" onload="x`) {
		t.Error("a neighbour's markup is on the page")
	}
}

// Every page is well-formed, loads nothing from elsewhere, has no inline script
// or style, and its policy forbids them.
func TestMarkup(t *testing.T) {
	f := newFleet(t)
	h := pagesOf(f.shop(patient))
	submit(h, "/cart/items", url.Values{"product": {"oak-stool"}, "quantity": {"1"}})
	for _, path := range []string{"/", "/products/oak-stool", "/cart", "/products/anvil"} {
		rec := do(h, "GET", path, "", "Cookie", "cart=cart-1")
		csp := rec.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if err := wellFormed(rec.Body.String()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, ref := range regexp.MustCompile(`(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(rec.Body.String(), -1) {
			if !strings.HasPrefix(ref[1], "/") && !strings.HasPrefix(ref[1], "#") {
				t.Errorf("%s refers to %s", path, ref[1])
			}
			if strings.HasPrefix(ref[1], "/assets/") {
				got := do(h, "GET", ref[1], "")
				if got.Code != 200 || !strings.Contains(got.Header().Get("Cache-Control"), "immutable") {
					t.Errorf("%s: got %d %s", ref[1], got.Code, got.Header())
				}
			}
		}
	}
	if rec := do(h, "GET", "/assets/shop.css", ""); rec.Code != 404 {
		t.Errorf("an asset without its hash: got %d", rec.Code)
	}
}

var (
	tags   = regexp.MustCompile(`<(/?)([a-z0-9]+)([^>]*?)(/?)>`)
	inline = regexp.MustCompile(`\s(on[a-z]+|style)=`)
	void   = []string{"meta", "link", "img", "input"}
)

// wellFormed reports tags that do not match and inline scripts and styles.
func wellFormed(html string) error {
	var open []string
	for _, tag := range tags.FindAllStringSubmatch(html, -1) {
		end, name, attrs, empty := tag[1] != "", tag[2], tag[3], tag[4] != ""
		switch {
		case inline.MatchString(attrs) || name == "style":
			return fmt.Errorf("inline code in <%s%s>", name, attrs)
		case empty || slices.Contains(void, name):
		case !end:
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			return fmt.Errorf("</%s> closes %v", name, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("never closed: %v", open)
	}
	return nil
}
