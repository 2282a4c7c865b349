package pricing

import (
	"testing"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-03-14 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func TestRules(t *testing.T) {
	plain := Chain()
	tiers := QuantityDiscount(Tier{From: 20, Percent: 10}, Tier{From: 5, Percent: 5})
	happy := HappyHour(16, 18, 15)
	night := HappyHour(22, 2, 50)
	berlin := time.FixedZone("CET", 3600)
	for name, c := range map[string]struct {
		rule Rule
		ask  Ask
		want int64 // of a base price of 10.00
	}{
		"no rule":                      {plain, Ask{"mug", 7, at("17:00:00")}, 1000},
		"below the first tier":         {tiers, Ask{"mug", 4, at("12:00:00")}, 1000},
		"first tier":                   {tiers, Ask{"mug", 5, at("12:00:00")}, 950},
		"still the first tier":         {tiers, Ask{"mug", 19, at("12:00:00")}, 950},
		"second tier":                  {tiers, Ask{"mug", 20, at("12:00:00")}, 900},
		"just before the happy hour":   {happy, Ask{"mug", 1, at("15:59:59")}, 1000},
		"the happy hour begins":        {happy, Ask{"mug", 1, at("16:00:00")}, 850},
		"its last second":              {happy, Ask{"mug", 1, at("17:59:59")}, 850},
		"it is over":                   {happy, Ask{"mug", 1, at("18:00:00")}, 1000},
		"the hour is UTC":              {happy, Ask{"mug", 1, at("15:30:00").In(berlin)}, 1000},
		"over midnight, before":        {night, Ask{"mug", 1, at("23:10:00")}, 500},
		"over midnight, after":         {night, Ask{"mug", 1, at("01:10:00")}, 500},
		"over midnight, not at noon":   {night, Ask{"mug", 1, at("12:00:00")}, 1000},
		"only those named":             {Only(happy, "mug"), Ask{"mug", 1, at("17:00:00")}, 850},
		"and no other":                 {Only(happy, "mug"), Ask{"pot", 1, at("17:00:00")}, 1000},
		"a chain adds up in its order": {Chain(tiers, happy), Ask{"mug", 5, at("17:00:00")}, 808},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.rule(c.ask, kit.Euros(1000)); got != kit.Euros(c.want) {
				t.Errorf("got %v, want %v", got, kit.Euros(c.want))
			}
		})
	}
}
