package catalog

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// ErrNotFound says that no product has the ID asked for.
var ErrNotFound = errors.New("catalog: no such product")

// Product is something the shop sells.
type Product struct {
	ID          string // a slug such as "enamel-mug"; never changes
	Name        string
	Description string
	Category    string
	Image       string // one SVG document, without scripts or links
}

// Store keeps the products.
type Store interface {
	// Products returns all products in the order in which the shop shows them.
	Products(ctx context.Context) ([]Product, error)
	// Product returns one product, or ErrNotFound.
	Product(ctx context.Context, id string) (Product, error)
}

// maxRecommended is how many products a recommendation names at most.
const maxRecommended = 4

// Recommend picks from all what to show beside p: its own category first, then
// the others, in the shop's order. p itself is left out.
func Recommend(all []Product, p Product) []Product {
	others := slices.DeleteFunc(slices.Clone(all), func(o Product) bool { return o.ID == p.ID })
	slices.SortStableFunc(others, func(a, b Product) int {
		return cmp.Compare(rank(a, p), rank(b, p))
	})
	return others[:min(len(others), maxRecommended)]
}

func rank(o, p Product) int {
	if o.Category == p.Category {
		return 0
	}
	return 1
}
