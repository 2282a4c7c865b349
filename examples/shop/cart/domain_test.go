package cart

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
	"pgregory.net/rapid"
)

func stamps() *rapid.Generator[Stamp] {
	return rapid.Custom(func(t *rapid.T) Stamp {
		return Stamp{
			Micros:  rapid.Int64Range(1, 9).Draw(t, "micros"),
			Replica: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "replica"),
		}
	})
}

// carts makes states of one cart, few products and stamps so that they clash.
func carts() *rapid.Generator[Cart] {
	return rapid.Custom(func(t *rapid.T) Cart {
		c := Cart{ID: "c1", Created: stamps().Draw(t, "created"), Entries: map[string]Entry{}, Recent: map[string]Keyed{}}
		for range rapid.IntRange(0, 4).Draw(t, "entries") {
			product := rapid.SampledFrom([]string{"mug", "pot", "cup"}).Draw(t, "product")
			e := Entry{rapid.IntRange(0, 3).Draw(t, "quantity"), stamps().Draw(t, "stamp")}
			switch key := rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, "key"); {
			case key == "":
				c.Entries[product] = e
			case c.Recent[product] == nil:
				c.Recent[product] = Keyed{key: e}
			default:
				c.Recent[product][key] = e
			}
		}
		if n := rapid.IntRange(0, 3).Draw(t, "order"); n > 0 {
			c.Order = &Order{ID: fmt.Sprint("G-", n), Created: time.Unix(int64(n/2), 0)}
		}
		return c
	})
}

func TestMergeIsASemilattice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := carts().Draw(t, "a"), carts().Draw(t, "b"), carts().Draw(t, "c")
		if ab, ba := a.Merge(b), b.Merge(a); !ab.Equal(ba) {
			t.Fatalf("not commutative: %+v and %+v", ab, ba)
		}
		if l, r := a.Merge(b).Merge(c), a.Merge(b.Merge(c)); !l.Equal(r) {
			t.Fatalf("not associative: %+v and %+v", l, r)
		}
		if aa := a.Merge(a); !aa.Equal(a) {
			t.Fatalf("not idempotent: %+v", aa)
		}
		if ab := a.Merge(b); !ab.Merge(a).Equal(ab) {
			t.Fatalf("knows less after merging: %+v", ab)
		}
	})
}

// TestReplicasConverge lets three replicas change and exchange one cart at
// random and holds the end against a plain list of all changes.
func TestReplicasConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas := make([]Cart, 3)
		clocks := make([]*Clock, 3)
		now := time.UnixMicro(1000)
		for i := range replicas {
			replicas[i] = Cart{ID: "c1", Created: Stamp{1, "a"}}
			skew := rapid.Int64Range(-20, 20).Draw(t, "skew")
			clocks[i] = NewClock(string(rune('a'+i)), Stamp{}, func() time.Time { return now.Add(time.Duration(skew) * time.Microsecond) })
		}
		want := map[string]Entry{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			i, j := rapid.IntRange(0, 2).Draw(t, "i"), rapid.IntRange(0, 2).Draw(t, "j")
			now = now.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "pass")) * time.Microsecond)
			if rapid.Bool().Draw(t, "exchange") {
				clocks[i].See(replicas[j].Latest())
				replicas[i] = replicas[i].Merge(replicas[j])
				continue
			}
			product, n := rapid.SampledFrom([]string{"mug", "pot"}).Draw(t, "product"), rapid.IntRange(0, 9).Draw(t, "n")
			at := clocks[i].Next()
			before := replicas[i]
			var err error
			if replicas[i], err = before.Set("", product, n, at); err != nil {
				t.Fatal(err)
			}
			if got := replicas[i].Entries[product]; got != (Entry{n, at}) {
				t.Fatalf("replica %d does not see its own change: %+v, want %d at %+v", i, got, n, at)
			}
			if e := (Entry{n, at}); e.compare(want[product]) > 0 {
				want[product] = e
			}
		}
		all := replicas[0].Merge(replicas[1]).Merge(replicas[2])
		for product, e := range want {
			if all.Entries[product] != e {
				t.Fatalf("%s: got %+v, want %+v", product, all.Entries[product], e)
			}
		}
	})
}

func TestSet(t *testing.T) {
	full := Cart{ID: "c1", Entries: map[string]Entry{}}
	for i := range MaxLines {
		full.Entries[fmt.Sprint("p", i)] = Entry{Quantity: 1}
	}
	worn := Cart{ID: "c1", Entries: map[string]Entry{}}
	for i := range maxEntries {
		worn.Entries[fmt.Sprint("p", i)] = Entry{}
	}
	ordered := Cart{ID: "c1"}.WithOrder(Order{ID: "G-1"})
	for name, tc := range map[string]struct {
		cart     Cart
		product  string
		quantity int
		want     error
	}{
		"new":                  {Cart{}, "mug", 1, nil},
		"most":                 {Cart{}, "mug", MaxQuantity, nil},
		"remove what is not":   {Cart{}, "mug", 0, nil},
		"too many":             {Cart{}, "mug", MaxQuantity + 1, ErrBadItem},
		"negative":             {Cart{}, "mug", -1, ErrBadItem},
		"no product":           {Cart{}, "", 1, ErrBadItem},
		"strange product":      {Cart{}, "a/b", 1, ErrBadItem},
		"long product":         {Cart{}, strings.Repeat("x", 65), 1, ErrBadItem},
		"full, known product":  {full, "p7", 5, nil},
		"full, remove":         {full, "p7", 0, nil},
		"full, new product":    {full, "mug", 1, ErrFull},
		"worn, new product":    {worn, "mug", 1, ErrFull},
		"worn, remove unknown": {worn, "mug", 0, ErrFull},
		"worn, known product":  {worn, "p7", 1, nil},
		"ordered":              {ordered, "mug", 1, ErrOrdered},
	} {
		t.Run(name, func(t *testing.T) {
			at := Stamp{Micros: 9, Replica: "a"}
			got, err := tc.cart.Set("", tc.product, tc.quantity, at)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil && got.Entries[tc.product] != (Entry{tc.quantity, at}) {
				t.Errorf("got %+v", got.Entries[tc.product])
			}
		})
	}
}

func TestSetLeavesTheOldCartAlone(t *testing.T) {
	before := Cart{ID: "c1", Entries: map[string]Entry{"mug": {Quantity: 1}}}
	if _, err := before.Set("", "mug", 2, Stamp{Micros: 1}); err != nil {
		t.Fatal(err)
	}
	if before.Entries["mug"].Quantity != 1 {
		t.Error("Set changed the cart that it was called on")
	}
}

func TestOrderStays(t *testing.T) {
	c := Cart{}.WithOrder(Order{ID: "G-1"}).WithOrder(Order{ID: "G-2"})
	if c.Order.ID != "G-1" {
		t.Errorf("got %s, want the first order", c.Order.ID)
	}
}

func TestLinesLeaveOutRemovals(t *testing.T) {
	c := Cart{Entries: map[string]Entry{"pot": {Quantity: 2}, "mug": {Quantity: 1}, "cup": {}}}
	if got, want := fmt.Sprint(c.Lines()), "[{mug 1} {pot 2}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	now := time.UnixMicro(5000)
	c := NewClock("a", Stamp{Micros: 7000, Replica: "b"}, func() time.Time { return now })
	last := Stamp{Micros: 7000, Replica: "b"}
	for i := range 100 {
		switch i {
		case 20:
			now = time.UnixMicro(9000)
		case 40:
			now = time.UnixMicro(100)
		case 60:
			last = Stamp{Micros: 20000, Replica: "z"}
			c.See(last)
		case 80:
			c.See(Stamp{Micros: 1})
		}
		next := c.Next()
		if next.Compare(last) <= 0 {
			t.Fatalf("step %d: %+v is not after %+v", i, next, last)
		}
		last = next
	}
}

func TestCodecKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := carts().Draw(t, "cart")
		if c.Order != nil {
			c.Order.Key, c.Order.Lines, c.Order.Total = "k", []Line{{"mug", 2}}, kit.Euros(1999)
		}
		data, err := c.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var back Cart
		if err := back.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		again, _ := back.MarshalJSON()
		if !back.Equal(c) || string(again) != string(data) {
			t.Fatalf("%s read as %+v", data, back)
		}
	})
}

// TestLateRepetition: a change that comes a second time, after the next one and
// to a replica that has heard of neither, does not undo that one.
func TestLateRepetition(t *testing.T) {
	set := func(c Cart, key string, quantity int, at int64, replica string) Cart {
		t.Helper()
		c, err := c.Set(key, "mug", quantity, Stamp{Micros: at, Replica: replica})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := Cart{ID: "c1"}, Cart{ID: "c1"}
	a = set(a, "k1", 6, 10, "a")
	a = set(a, "k2", 7, 20, "a")
	b = set(b, "k1", 6, 30, "b")
	a = set(a, "k1", 6, 40, "a")
	for name, c := range map[string]Cart{"a": a, "a with b": a.Merge(b), "b with a": b.Merge(a)} {
		if got := fmt.Sprint(c.Lines()); got != "[{mug 7}]" {
			t.Errorf("%s: got %s, want the later change, 7", name, got)
		}
	}
	if _, err := a.Set("k1", "mug", 5, Stamp{Micros: 50}); !errors.Is(err, ErrKeyReused) {
		t.Errorf("the same key for another quantity: got %v", err)
	}
	old := set(a, "k3", 8, keyLife.Microseconds()+15, "a")
	if got := fmt.Sprint(old.Lines(), len(old.Recent["mug"])); got != "[{mug 8}] 2" {
		t.Errorf("after ten minutes: got %s, want 8, and the first key forgotten", got)
	}
	if got := fmt.Sprint(set(a, "", 9, keyLife.Microseconds()+50, "a").Lines()); got != "[{mug 9}]" {
		t.Errorf("without a key: got %s", got)
	}
}
