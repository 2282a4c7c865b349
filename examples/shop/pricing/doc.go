// Package pricing says what things cost: a price list and rules that change it
// with the quantity and the hour. It keeps nothing, so any replica can go at
// any time, and a new one with new rules can take its place.
package pricing
