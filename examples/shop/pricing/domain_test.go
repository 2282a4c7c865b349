package pricing

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

var list = NewList(map[string]kit.Money{
	"mug": kit.Euros(1450), "pot": kit.Euros(3490), "moon": kit.Euros(math.MaxInt64 / 2),
	"sun": kit.Euros(math.MaxInt64 / 2), "knife": {Amount: 700, Currency: "CHF"},
}, QuantityDiscount(Tier{From: 5, Percent: 10}))

func TestQuote(t *testing.T) {
	got, err := list.Quote([]Line{{"mug", 5}, {"pot", 1}}, at("12:00:00"))
	want := Quote{
		Lines: []PricedLine{
			{Line{"mug", 5}, kit.Euros(1305), kit.Euros(6525)},
			{Line{"pot", 1}, kit.Euros(3490), kit.Euros(3490)},
		},
		Total: kit.Euros(10015),
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestQuoteRefuses(t *testing.T) {
	for name, lines := range map[string][]Line{
		"nothing":          nil,
		"too many lines":   make([]Line, MaxLines+1),
		"none of it":       {{"mug", 0}},
		"less than none":   {{"mug", -1}},
		"too much of it":   {{"mug", MaxQuantity + 1}},
		"twice":            {{"mug", 1}, {"mug", 2}},
		"a line too dear":  {{"moon", 3}},
		"too dear in all":  {{"moon", 1}, {"sun", 2}},
		"mixed currencies": {{"mug", 1}, {"knife", 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := list.Quote(lines, at("12:00:00")); !errors.Is(err, ErrBadQuote) {
				t.Errorf("got %+v, %v; want %v", got, err, ErrBadQuote)
			}
		})
	}
	_, err := list.Quote([]Line{{"mug", 1}, {"anvil", 1}}, at("12:00:00"))
	if e, ok := errors.AsType[*UnknownProductError](err); !ok || e.Product != "anvil" {
		t.Errorf("unknown product: got %v", err)
	}
}

func TestPrices(t *testing.T) {
	prices := Current().Prices(at("12:00:00"))
	if len(prices) < 12 || !slices.IsSortedFunc(prices, func(a, b Price) int {
		if a.Product < b.Product {
			return -1
		}
		return 1
	}) {
		t.Errorf("got %v, want 12 or more in order", prices)
	}
	for _, p := range prices {
		if one, err := Current().Price(p.Product, at("12:00:00")); err != nil || one != p {
			t.Errorf("Price says %v, %v; Prices says %v", one, err, p)
		}
		if p.Unit.Amount <= 0 || p.Unit.Currency != kit.EUR {
			t.Errorf("%s costs %v", p.Product, p.Unit)
		}
	}
}
