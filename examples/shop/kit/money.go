package kit

import (
	"fmt"
	"math"
)

// EUR is the one currency the shop trades in.
const EUR = "EUR"

// Money is an amount in minor units, cents for [EUR]. It is a value; there is
// no floating point anywhere near it.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Euros returns cents of [EUR].
func Euros(cents int64) Money { return Money{Amount: cents, Currency: EUR} }

// Times returns m n times. ok is false if the product does not fit an int64 or
// n is negative.
func (m Money) Times(n int) (product Money, ok bool) {
	if n < 0 || (n > 0 && abs(m.Amount) > math.MaxInt64/int64(n)) {
		return Money{}, false
	}
	return Money{Amount: m.Amount * int64(n), Currency: m.Currency}, true
}

// Plus returns the sum of m and o. ok is false if the currencies differ or the
// sum does not fit an int64. The zero Money is neutral whatever the currency.
func (m Money) Plus(o Money) (sum Money, ok bool) {
	switch {
	case m == Money{}:
		return o, true
	case o == Money{}:
		return m, true
	case m.Currency != o.Currency:
		return Money{}, false
	}
	s := m.Amount + o.Amount
	if (o.Amount > 0) != (s > m.Amount) && o.Amount != 0 {
		return Money{}, false
	}
	return Money{Amount: s, Currency: m.Currency}, true
}

// LessPercent returns m reduced by percent, rounded half up to a whole minor
// unit. percent is taken as 0 below 0 and as 100 above 100.
func (m Money) LessPercent(percent int) Money {
	left := int64(100 - min(max(percent, 0), 100))
	whole, rest := m.Amount/100, m.Amount%100 // apart, so that nothing overflows
	return Money{Amount: whole*left + (rest*left+50)/100, Currency: m.Currency}
}

// String returns the amount as people read it: "€12.50", or "12.50 CHF" for
// another currency.
func (m Money) String() string {
	sign, a := "", m.Amount
	if a < 0 {
		sign, a = "-", abs(a)
	}
	if m.Currency == EUR {
		return fmt.Sprintf("%s€%d.%02d", sign, a/100, a%100)
	}
	return fmt.Sprintf("%s%d.%02d %s", sign, a/100, a%100, m.Currency)
}

// abs returns |n|, and the largest int64 for the smallest.
func abs(n int64) int64 {
	switch {
	case n == math.MinInt64:
		return math.MaxInt64
	case n < 0:
		return -n
	}
	return n
}
