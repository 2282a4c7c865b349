package pricing

import (
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// Ask is what a [Rule] may look at.
type Ask struct {
	Product  string
	Quantity int
	At       time.Time
}

// Rule turns the price of one piece into another. It is a pure function.
type Rule func(Ask, kit.Money) kit.Money

// Chain applies rules one after the other, each to the price that the one
// before it left. Chain() leaves prices as they are.
func Chain(rules ...Rule) Rule {
	return func(ask Ask, unit kit.Money) kit.Money {
		for _, rule := range rules {
			unit = rule(ask, unit)
		}
		return unit
	}
}

// Tier is a discount in percent from a quantity upward.
type Tier struct{ From, Percent int }

// QuantityDiscount takes off the percentage of the highest tier reached. The
// order of the tiers does not matter.
func QuantityDiscount(tiers ...Tier) Rule {
	return func(ask Ask, unit kit.Money) kit.Money {
		var best Tier
		for _, t := range tiers {
			if ask.Quantity >= t.From && t.From >= best.From {
				best = t
			}
		}
		return unit.LessPercent(best.Percent)
	}
}

// HappyHour takes percent off from one full hour until another, in UTC, every
// day. A span may go over midnight: HappyHour(22, 2, 10).
func HappyHour(from, until, percent int) Rule {
	return func(ask Ask, unit kit.Money) kit.Money {
		h := ask.At.UTC().Hour()
		in := h >= from && h < until
		if from > until {
			in = h >= from || h < until
		}
		if !in {
			return unit
		}
		return unit.LessPercent(percent)
	}
}

// Only applies rule to the products named and to no other.
func Only(rule Rule, products ...string) Rule {
	named := make(map[string]bool, len(products))
	for _, p := range products {
		named[p] = true
	}
	return func(ask Ask, unit kit.Money) kit.Money {
		if !named[ask.Product] {
			return unit
		}
		return rule(ask, unit)
	}
}

// Current returns the price list and the rules that the shop uses today.
func Current() *List {
	return NewList(
		map[string]kit.Money{
			"enamel-mug":     kit.Euros(1450),
			"task-lamp":      kit.Euros(8900),
			"gabion-basket":  kit.Euros(12900),
			"wool-blanket":   kit.Euros(11900),
			"stoneware-bowl": kit.Euros(2600),
			"dot-notebook":   kit.Euros(1690),
			"watering-can":   kit.Euros(4200),
			"beeswax-candle": kit.Euros(2150),
			"moka-pot":       kit.Euros(3490),
			"desk-clock":     kit.Euros(5900),
			"clay-planter":   kit.Euros(1990),
			"oak-stool":      kit.Euros(9800),
		},
		QuantityDiscount(Tier{From: 5, Percent: 5}, Tier{From: 20, Percent: 10}),
		Only(HappyHour(16, 18, 15), "enamel-mug", "stoneware-bowl", "moka-pot"),
	)
}
