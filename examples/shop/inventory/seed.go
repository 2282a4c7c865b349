package inventory

// plenty is enough for a long load test.
const plenty = 1_000_000

// Seed returns the stock that a new shop starts with. The caller owns the
// result.
func Seed() []Stock {
	return []Stock{
		{"enamel-mug", plenty},
		{"task-lamp", plenty},
		{"gabion-basket", 12}, // filled by hand; the one that runs out
		{"wool-blanket", plenty},
		{"stoneware-bowl", plenty},
		{"dot-notebook", plenty},
		{"watering-can", plenty},
		{"beeswax-candle", plenty},
		{"moka-pot", plenty},
		{"desk-clock", plenty},
		{"clay-planter", plenty},
		{"oak-stool", plenty},
	}
}
