package balance_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport/balance"
)

// pickerFunc is a policy that is one function.
type pickerFunc func(balance.Candidates) int

func (f pickerFunc) Pick(c balance.Candidates) int { return f(c) }

func always(i int) func(rand.Source) balance.Picker {
	return func(rand.Source) balance.Picker {
		return pickerFunc(func(balance.Candidates) int { return i })
	}
}

func TestWithPicker(t *testing.T) {
	mine := balance.WithPicker("mine", always(2))
	b := newBalancer(t, balance.Policy{Name: "mine"}, 5, mine)
	third := b.Endpoints()[2]
	if n := calls(t, b, 100, success)[third]; n != 100 {
		t.Errorf("the picker's choice gets %d of 100 calls", n)
	}
	for range 20 { // what it returns is not usable
		if e := pick(t, b, third); e == third {
			t.Error("picked again what was tried")
		} else {
			e.Done(success)
		}
	}
	if err := b.SetPolicy(balance.Policy{}); err != nil {
		t.Fatal(err)
	}
	if err := b.SetPolicy(balance.Policy{Name: "mine"}); err != nil {
		t.Fatal(err)
	}
	if err := b.SetPolicy(balance.Policy{Name: "yours"}); err == nil || !strings.Contains(err.Error(), "mine") {
		t.Errorf("an unknown policy: %v, want an error that lists those that there are", err)
	}
	if err := (balance.Policy{Name: "mine"}).Validate(); err == nil {
		t.Error("a policy is valid that not every balancer has")
	}
}

// A picker's bad index costs no more than its choice.
func TestWithPickerOutOfRange(t *testing.T) {
	for _, i := range []int{-5, 3, 1 << 40} {
		b := newBalancer(t, balance.Policy{Name: "mine"}, 3, balance.WithPicker("mine", always(i)))
		if n := len(calls(t, b, 100, success)); n != 3 {
			t.Errorf("index %d: calls go to %d of 3 endpoints", i, n)
		}
	}
}

func TestWithPickerErrors(t *testing.T) {
	for name, o := range map[string]balance.Option{
		"taken":    balance.WithPicker(balance.Random, always(0)),
		"no name":  balance.WithPicker("", always(0)),
		"no maker": balance.WithPicker("mine", nil),
		"no maker's picker": balance.WithPicker("mine", func(rand.Source) balance.Picker {
			return nil
		}),
	} {
		if _, err := balance.New(balance.Policy{}, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The later of two with one name counts.
func TestWithPickerTwice(t *testing.T) {
	b := newBalancer(t, balance.Policy{Name: "mine"}, 3,
		balance.WithPicker("mine", always(0)), balance.WithPicker("mine", always(1)))
	if n := calls(t, b, 10, success)[b.Endpoints()[1]]; n != 10 {
		t.Errorf("the later one has had %d of 10 calls", n)
	}
}

// A picker sees the hash of the key, and nothing where there is none.
func TestWithPickerHash(t *testing.T) {
	var got []uint64
	see := balance.WithPicker("mine", func(rand.Source) balance.Picker {
		return pickerFunc(func(c balance.Candidates) int {
			got = append(got, c.Hash())
			return 0
		})
	})
	b := newBalancer(t, balance.Policy{Name: "mine"}, 3, see)
	for _, key := range []string{"a", "a", "b", ""} {
		pickKey(t, b, key)
	}
	if len(got) != 4 || got[0] == 0 || got[0] != got[1] || got[1] == got[2] || got[3] != 0 {
		t.Errorf("the hashes of a, a, b and nothing are %v", got)
	}
}
