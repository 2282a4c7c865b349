package kit_test

import (
	"math"
	"testing"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

func TestMoneyString(t *testing.T) {
	for want, m := range map[string]kit.Money{
		"€0.00":     kit.Euros(0),
		"€0.05":     kit.Euros(5),
		"€12.50":    kit.Euros(1250),
		"-€3.07":    kit.Euros(-307),
		"19.90 CHF": {Amount: 1990, Currency: "CHF"},
	} {
		if got := m.String(); got != want {
			t.Errorf("%+v: got %q, want %q", m, got, want)
		}
	}
}

func TestMoneyTimes(t *testing.T) {
	for _, c := range []struct {
		amount int64
		n      int
		want   int64
		ok     bool
	}{
		{1250, 3, 3750, true},
		{1250, 0, 0, true},
		{1250, -1, 0, false},
		{math.MaxInt64, 1, math.MaxInt64, true},
		{math.MaxInt64/2 + 1, 2, 0, false},
		{math.MinInt64, 2, 0, false},
	} {
		got, ok := kit.Euros(c.amount).Times(c.n)
		if ok != c.ok || got.Amount != c.want {
			t.Errorf("%d times %d: got %d %v, want %d %v", c.amount, c.n, got.Amount, ok, c.want, c.ok)
		}
	}
}

func TestMoneyPlus(t *testing.T) {
	francs := kit.Money{Amount: 5, Currency: "CHF"}
	for _, c := range []struct {
		a, b, want kit.Money
		ok         bool
	}{
		{kit.Euros(100), kit.Euros(23), kit.Euros(123), true},
		{kit.Euros(100), kit.Euros(-23), kit.Euros(77), true},
		{kit.Money{}, francs, francs, true},
		{francs, kit.Money{}, francs, true},
		{kit.Euros(0), kit.Euros(0), kit.Euros(0), true},
		{kit.Euros(1), francs, kit.Money{}, false},
		{kit.Euros(math.MaxInt64), kit.Euros(1), kit.Money{}, false},
		{kit.Euros(math.MinInt64), kit.Euros(-1), kit.Money{}, false},
	} {
		if got, ok := c.a.Plus(c.b); got != c.want || ok != c.ok {
			t.Errorf("%v + %v: got %v %v, want %v %v", c.a, c.b, got, ok, c.want, c.ok)
		}
	}
}

func TestMoneyLessPercent(t *testing.T) {
	for _, c := range []struct {
		amount  int64
		percent int
		want    int64
	}{
		{1000, 10, 900}, {999, 10, 899}, {995, 10, 896}, {1, 50, 1}, {1000, 0, 1000},
		{1000, 100, 0}, {1000, 140, 0}, {1000, -5, 1000}, {math.MaxInt64, 0, math.MaxInt64},
	} {
		if got := kit.Euros(c.amount).LessPercent(c.percent).Amount; got != c.want {
			t.Errorf("%d less %d %%: got %d, want %d", c.amount, c.percent, got, c.want)
		}
	}
}
