// Package storefront is what the browser sees: it composes catalog, pricing,
// inventory and cart into a page and a JSON API and keeps no store of its own.
//
// It never fails because a neighbour does. All neighbours are asked at once,
// under one time budget; what a missing one leaves out is shown from memory and
// marked as old, or left away and marked as missing. Answers that lack
// something say so: in "degraded", in the header X-Shop-Degraded, and on the
// page in words. Only what must not be guessed is refused: a checkout needs the
// real price and the real stock.
package storefront
