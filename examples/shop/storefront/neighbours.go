package storefront

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// HTTPNeighbours returns the neighbours as services that are called by name.
// client returns the HTTP client for a service.
func HTTPNeighbours(client func(service string) *http.Client) Neighbours {
	return Neighbours{
		Catalog:   httpCatalog{peer{catalogName, client(catalogName)}},
		Pricing:   httpPricing{peer{pricingName, client(pricingName)}},
		Inventory: httpInventory{peer{inventoryName, client(inventoryName)}},
		Carts:     httpCarts{peer{cartName, client(cartName)}},
	}
}

type httpCatalog struct{ peer }

type productWire struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Category    string `json:"category"`
	Image       string `json:"image"`
}

func (c httpCatalog) Products(ctx context.Context) ([]Product, error) {
	return c.list(ctx, "v1", "products")
}

func (c httpCatalog) Recommendations(ctx context.Context, id string) ([]Product, error) {
	return c.list(ctx, "v1", "products", id, "recommendations")
}

func (c httpCatalog) Product(ctx context.Context, id string) (Product, error) {
	var w productWire
	if err := c.read(ctx, call{method: http.MethodGet, path: []string{"v1", "products", id}}, &w); err != nil {
		return Product{}, err
	}
	if w.ID != id || w.Name == "" {
		return Product{}, c.garbage("another product than the one asked for")
	}
	return Product(w), nil
}

func (c httpCatalog) list(ctx context.Context, path ...string) ([]Product, error) {
	var w struct {
		Products []productWire `json:"products"`
	}
	if err := c.read(ctx, call{method: http.MethodGet, path: path}, &w); err != nil {
		return nil, err
	}
	if w.Products == nil {
		return nil, c.garbage("no list of products")
	}
	all := make([]Product, 0, len(w.Products))
	for _, p := range w.Products {
		if !validID(p.ID) || p.Name == "" {
			return nil, c.garbage("a product without a name")
		}
		all = append(all, Product(p))
	}
	return all, nil
}

type httpPricing struct{ peer }

type priceWire struct {
	Product string    `json:"product"`
	Price   kit.Money `json:"price"`
}

func (p httpPricing) Prices(ctx context.Context) (map[string]kit.Money, error) {
	var w struct {
		Prices []priceWire `json:"prices"`
	}
	if err := p.read(ctx, call{method: http.MethodGet, path: []string{"v1", "prices"}}, &w); err != nil {
		return nil, err
	}
	if w.Prices == nil {
		return nil, p.garbage("no list of prices")
	}
	prices := make(map[string]kit.Money, len(w.Prices))
	for _, l := range w.Prices {
		if l.Product == "" || !saneMoney(l.Price) {
			return nil, p.garbage("a price that is none")
		}
		prices[l.Product] = l.Price
	}
	return prices, nil
}

func (p httpPricing) Price(ctx context.Context, product string) (kit.Money, error) {
	var w priceWire
	if err := p.read(ctx, call{method: http.MethodGet, path: []string{"v1", "prices", product}}, &w); err != nil {
		return kit.Money{}, err
	}
	if w.Product != product || !saneMoney(w.Price) {
		return kit.Money{}, p.garbage("a price that is none")
	}
	return w.Price, nil
}

type itemWire struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

func itemsWire(items []Item) []itemWire {
	w := make([]itemWire, 0, len(items))
	for _, it := range items {
		w = append(w, itemWire(it))
	}
	return w
}

func (p httpPricing) Quote(ctx context.Context, items []Item) (Quote, error) {
	a, err := p.do(ctx, call{
		method: http.MethodPost, path: []string{"v1", "quote"},
		key: rand.Text(), // a quote changes nothing; the key lets the client repeat it
		body: struct {
			Lines []itemWire `json:"lines"`
		}{itemsWire(items)},
	})
	switch {
	case err != nil:
		return Quote{}, err
	case a.status == http.StatusUnprocessableEntity:
		return Quote{}, a.refused()
	case a.status != http.StatusOK:
		return Quote{}, p.unavailable(fmt.Errorf("status %d", a.status))
	}
	var w struct {
		Lines []struct {
			itemWire
			Unit  kit.Money `json:"unit"`
			Total kit.Money `json:"total"`
		} `json:"lines"`
		Total kit.Money `json:"total"`
	}
	if err := p.decode(a, &w); err != nil {
		return Quote{}, err
	}
	if len(w.Lines) != len(items) || !saneMoney(w.Total) {
		return Quote{}, p.garbage("another quote than the one asked for")
	}
	q := Quote{Total: w.Total}
	for i, l := range w.Lines {
		if Item(l.itemWire) != items[i] || !saneMoney(l.Unit) || !saneMoney(l.Total) {
			return Quote{}, p.garbage("another quote than the one asked for")
		}
		q.Lines = append(q.Lines, PricedItem{items[i], l.Unit, l.Total})
	}
	return q, nil
}

type httpInventory struct{ peer }

type stockWire struct {
	Product   string `json:"product"`
	Available *int   `json:"available"`
}

func (s stockWire) sane() bool { return s.Product != "" && s.Available != nil && *s.Available >= 0 }

func (i httpInventory) Stock(ctx context.Context) (map[string]int, error) {
	var w struct {
		Stock []stockWire `json:"stock"`
	}
	if err := i.read(ctx, call{method: http.MethodGet, path: []string{"v1", "stock"}}, &w); err != nil {
		return nil, err
	}
	if w.Stock == nil {
		return nil, i.garbage("no list of stock")
	}
	stock := make(map[string]int, len(w.Stock))
	for _, s := range w.Stock {
		if !s.sane() {
			return nil, i.garbage("stock that is none")
		}
		stock[s.Product] = *s.Available
	}
	return stock, nil
}

func (i httpInventory) StockOf(ctx context.Context, product string) (int, error) {
	var w stockWire
	if err := i.read(ctx, call{method: http.MethodGet, path: []string{"v1", "stock", product}}, &w); err != nil {
		return 0, err
	}
	if w.Product != product || !w.sane() {
		return 0, i.garbage("stock that is none")
	}
	return *w.Available, nil
}

func saneMoney(m kit.Money) bool { return m.Amount >= 0 && len(m.Currency) == 3 }
