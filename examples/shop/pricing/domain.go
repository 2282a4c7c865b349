package pricing

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// Bounds of a quote. They keep every total far below the limits of an int64.
const (
	MaxLines    = 100
	MaxQuantity = 1000 // of one product
)

// ErrBadQuote says that lines cannot be quoted whatever the prices are. The
// text of the error says why and is fit for the caller.
var ErrBadQuote = errors.New("pricing: bad quote")

// UnknownProductError says that the price list does not have the product.
type UnknownProductError struct{ Product string }

func (e *UnknownProductError) Error() string {
	return fmt.Sprintf("pricing: no price for product %q", e.Product)
}

// Line is a quantity of one product.
type Line struct {
	Product  string
	Quantity int
}

// PricedLine is a [Line] with its price.
type PricedLine struct {
	Line
	Unit, Total kit.Money
}

// Quote is what lines cost together at one moment.
type Quote struct {
	Lines []PricedLine
	Total kit.Money
}

// Price is what one piece of a product costs.
type Price struct {
	Product string
	Unit    kit.Money
}

// List is the price list and the rules over it. It never changes and may be
// used by many goroutines at once.
type List struct {
	base map[string]kit.Money
	rule Rule
}

// NewList returns a list of base prices that the rules change, one after the
// other in the order given.
func NewList(base map[string]kit.Money, rules ...Rule) *List {
	return &List{maps.Clone(base), Chain(rules...)}
}

// Price returns what one piece of product costs at the given time. The error
// is an [*UnknownProductError].
func (l *List) Price(product string, at time.Time) (Price, error) {
	unit, err := l.unit(Line{product, 1}, at)
	return Price{product, unit}, err
}

// Prices returns the price of every product at the given time, sorted by
// product.
func (l *List) Prices(at time.Time) []Price {
	prices := make([]Price, 0, len(l.base))
	for product, base := range l.base {
		prices = append(prices, Price{product, l.rule(Ask{product, 1, at}, base)})
	}
	slices.SortFunc(prices, func(a, b Price) int { return cmp.Compare(a.Product, b.Product) })
	return prices
}

// Quote prices the lines at the given time and changes nothing: the same
// question at the same moment has the same answer. The error is an
// [*UnknownProductError] or matches [ErrBadQuote].
func (l *List) Quote(lines []Line, at time.Time) (Quote, error) {
	if err := check(lines); err != nil {
		return Quote{}, err
	}
	q := Quote{Lines: make([]PricedLine, 0, len(lines))}
	for _, line := range lines {
		priced, err := l.line(line, at)
		if err != nil {
			return Quote{}, err
		}
		sum, ok := q.Total.Plus(priced.Total)
		if !ok {
			return Quote{}, fmt.Errorf("%w: the total is out of range", ErrBadQuote)
		}
		q.Lines, q.Total = append(q.Lines, priced), sum
	}
	return q, nil
}

func (l *List) line(line Line, at time.Time) (PricedLine, error) {
	unit, err := l.unit(line, at)
	if err != nil {
		return PricedLine{}, err
	}
	total, ok := unit.Times(line.Quantity)
	if !ok {
		return PricedLine{}, fmt.Errorf("%w: the total is out of range", ErrBadQuote)
	}
	return PricedLine{line, unit, total}, nil
}

func (l *List) unit(line Line, at time.Time) (kit.Money, error) {
	base, ok := l.base[line.Product]
	if !ok {
		return kit.Money{}, &UnknownProductError{line.Product}
	}
	return l.rule(Ask{line.Product, line.Quantity, at}, base), nil
}

func check(lines []Line) error {
	if len(lines) == 0 || len(lines) > MaxLines {
		return fmt.Errorf("%w: want 1 to %d lines", ErrBadQuote, MaxLines)
	}
	seen := make(map[string]bool, len(lines))
	for _, line := range lines {
		if line.Quantity < 1 || line.Quantity > MaxQuantity {
			return fmt.Errorf("%w: a quantity must be 1 to %d", ErrBadQuote, MaxQuantity)
		}
		if seen[line.Product] {
			return fmt.Errorf("%w: a product stands on two lines", ErrBadQuote)
		}
		seen[line.Product] = true
	}
	return nil
}
