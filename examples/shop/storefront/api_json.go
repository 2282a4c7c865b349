package storefront

import (
	"time"
)

type priceJSON struct {
	Amount   int64      `json:"amount"`
	Currency string     `json:"currency"`
	Stale    bool       `json:"stale,omitempty"`
	AsOf     *time.Time `json:"as_of,omitempty"`
}

type freshnessJSON struct {
	Stale bool       `json:"stale,omitempty"`
	AsOf  *time.Time `json:"as_of,omitempty"`
}

type productJSON struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Category string `json:"category"`
	Image    string `json:"image"`
}

type offerJSON struct {
	productJSON
	Description  string       `json:"description"`
	Price        *priceJSON   `json:"price,omitempty"`
	Availability Availability `json:"availability"`
	Available    *int         `json:"available,omitempty"`
}

type listingJSON struct {
	freshnessJSON
	Products []offerJSON `json:"products"`
	Degraded []string    `json:"degraded,omitempty"`
}

type detailJSON struct {
	freshnessJSON
	offerJSON
	Recommendations []productJSON `json:"recommendations,omitempty"`
	Degraded        []string      `json:"degraded,omitempty"`
}

type itemJSON struct {
	Product  string     `json:"product"`
	Quantity int        `json:"quantity"`
	Name     string     `json:"name,omitempty"`
	Unit     *priceJSON `json:"unit,omitempty"`
	Total    *priceJSON `json:"total,omitempty"`
}

type cartJSON struct {
	ID       string     `json:"id"`
	Items    []itemJSON `json:"items"`
	Total    *priceJSON `json:"total,omitempty"`
	Order    *orderJSON `json:"order,omitempty"`
	Version  int64      `json:"version"`
	Degraded []string   `json:"degraded,omitempty"`
}

type orderJSON struct {
	Order string     `json:"order"`
	Cart  string     `json:"cart"`
	Lines []itemJSON `json:"lines"`
	Total *priceJSON `json:"total"`
}

func toFreshness(f Freshness) freshnessJSON {
	if !f.Stale {
		return freshnessJSON{}
	}
	return freshnessJSON{true, &f.AsOf}
}

func toPrice(p *Price) *priceJSON {
	if p == nil {
		return nil
	}
	out := &priceJSON{Amount: p.Amount, Currency: p.Currency, Stale: p.Stale}
	if p.Stale {
		out.AsOf = &p.AsOf
	}
	return out
}

func toProduct(p Product) productJSON {
	return productJSON{p.ID, p.Name, p.Category, imagePath(p.ID)}
}

func imagePath(product string) string { return "/images/" + product + ".svg" }

func toOffer(o Offer) offerJSON {
	out := offerJSON{
		productJSON: toProduct(o.Product), Description: o.Description,
		Price: toPrice(o.Price), Availability: o.Availability,
	}
	if o.Availability != Unknown {
		out.Available = &o.Left
	}
	return out
}

func toItems(items []Item) []itemJSON {
	out := make([]itemJSON, 0, len(items))
	for _, it := range items {
		out = append(out, itemJSON{Product: it.Product, Quantity: it.Quantity})
	}
	return out
}

func toCart(c Cart) cartJSON {
	out := cartJSON{ID: c.ID, Items: toItems(c.Items), Version: c.Version}
	if c.Order != nil {
		out.Order = toOrder(*c.Order)
	}
	return out
}

func toOrder(o Order) *orderJSON {
	return &orderJSON{Order: o.Number, Cart: o.Cart, Lines: toItems(o.Items), Total: toPrice(&Price{Money: o.Total})}
}
