package catalog

import (
	"embed"
	"fmt"
)

//go:embed images/*.svg
var images embed.FS

// Seed returns the products that a new shop starts with, in the order in which
// it shows them. The caller owns the result.
func Seed() []Product {
	products := []Product{
		{ID: "enamel-mug", Name: "Enamel mug", Category: "Kitchen",
			Description: "Steel under two coats of enamel, 350 ml. It chips before it breaks, and looks better for it."},
		{ID: "task-lamp", Name: "Task lamp", Category: "Desk",
			Description: "Two joints, one switch, no app. The shade turns all the way round so that the light is where the work is."},
		{ID: "gabion-basket", Name: "Gabion basket", Category: "Garden",
			Description: "Galvanised wire, 30 × 30 cm, filled with stones by hand. Stack three for a seat, thirty for a wall that holds. Made to order in small numbers."},
		{ID: "wool-blanket", Name: "Wool blanket", Category: "Home",
			Description: "Undyed wool from one flock, woven in a mill that has stood by the same river since 1868. 140 × 200 cm."},
		{ID: "stoneware-bowl", Name: "Stoneware bowl", Category: "Kitchen",
			Description: "Thrown, not cast, so no two are quite alike. Ash glaze inside, bare clay outside. Oven and dishwasher safe."},
		{ID: "dot-notebook", Name: "Dot notebook", Category: "Desk",
			Description: "192 pages of 100 g paper with a five-millimetre dot grid, sewn so that it lies flat on any page."},
		{ID: "watering-can", Name: "Watering can", Category: "Garden",
			Description: "Five litres with a long spout and a brass rose. Balanced to be carried full and poured with one hand."},
		{ID: "beeswax-candle", Name: "Beeswax candle", Category: "Home",
			Description: "Burns for forty hours and smells of very little, which is the point. Poured in a tin that you will keep."},
		{ID: "moka-pot", Name: "Moka pot", Category: "Kitchen",
			Description: "Six cups on any hob, induction included. Comes apart into three pieces and has no fourth to lose."},
		{ID: "desk-clock", Name: "Desk clock", Category: "Desk",
			Description: "A sweep movement that does not tick. Set it once; it has one hand for hours, one for minutes and none for seconds."},
		{ID: "clay-planter", Name: "Clay planter", Category: "Garden",
			Description: "Low-fired terracotta that breathes, 24 cm, with a saucer. Frost-proof down to minus fifteen degrees."},
		{ID: "oak-stool", Name: "Oak stool", Category: "Home",
			Description: "Four legs, one seat, wedged joints and no screws. Oiled; will take a scratch and an oiling for a hundred years."},
	}
	for i := range products {
		products[i].Image = image(products[i].ID)
	}
	return products
}

// image reads what the compiler has built in; a missing one is a mistake in
// this package.
func image(id string) string {
	svg, err := images.ReadFile("images/" + id + ".svg")
	if err != nil {
		panic(fmt.Sprintf("catalog: product without an image: %v", err))
	}
	return string(svg)
}
