package subset_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/transport/balance/subset"
)

// backends returns n keys as they might be.
func backends(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("10.1.%d.%d:8080", i/250, i%250)
	}
	return keys
}

func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(prefix, i)
	}
	return list
}

// chosen returns the keys that c chooses.
func chosen(keys []string, k int, c subset.Client) []string {
	var list []string
	for _, i := range subset.Choose(keys, k, c) {
		list = append(list, keys[i])
	}
	slices.Sort(list)
	return list
}

// everyone returns what all clients of a group choose.
func everyone(keys []string, k, count int) [][]string {
	all := make([][]string, count)
	for i := range all {
		all[i] = chosen(keys, k, subset.Client{Group: "cart", Ordinal: i, Count: count})
	}
	return all
}

func named(keys []string, k, count int) [][]string {
	all := make([][]string, count)
	for i := range all {
		all[i] = chosen(keys, k, subset.Client{Group: "cart", ID: fmt.Sprint("cart-", i)})
	}
	return all
}

// spread returns how many clients the backends have that have the fewest and
// the most.
func spread(keys []string, all [][]string) (least, most int) {
	clients := map[string]int{}
	for _, of := range all {
		for _, key := range of {
			clients[key]++
		}
	}
	least = math.MaxInt
	for _, key := range keys {
		least, most = min(least, clients[key]), max(most, clients[key])
	}
	return least, most
}

// mostAdded returns how many backends a client has now and had not, at most.
func mostAdded(was, now [][]string) int {
	most := 0
	for i := range now {
		n := 0
		for _, key := range now[i] {
			if !slices.Contains(was[i], key) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func without(keys []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return slices.Contains(gone, k) })
}

// The figures to beat: 10 of 300.
func TestTenOfThreeHundred(t *testing.T) {
	keys := backends(300)
	for _, clients := range []int{1, 7, 295, 300, 301} {
		was := everyone(keys, 10, clients)
		least, most := spread(keys, was)
		if wantLeast := clients * 10 / 300; least != wantLeast || most > wantLeast+1 {
			t.Errorf("%d clients: %d to %d a backend, want %d or one more", clients, least, most, wantLeast)
		}
		for i := 0; i < len(keys); i += 37 {
			if n := mostAdded(was, everyone(without(keys, keys[i]), 10, clients)); n > 1 {
				t.Errorf("%d clients: one changes %d when %s leaves", clients, n, keys[i])
			}
		}
	}
}

// Subsets of 30 backends and more, of which k are at most half; with fewer, a bad
// set would be found in time.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(30, 80).Draw(t, "backends")
		k := rapid.IntRange(1, n/3).Draw(t, "k")
		clients := rapid.IntRange(1, 120).Draw(t, "clients")
		keys := names(rapid.StringN(0, 5, -1).Draw(t, "prefix"), n)
		was := everyone(keys, k, clients)
		least, most := spread(keys, was)
		if want := clients * k / n; least != want || most > want+1 {
			t.Fatalf("%d to %d a backend, want %d or one more", least, most, want)
		}
		gone := rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 1, n/4, rapid.ID[string]).Draw(t, "gone")
		now := everyone(without(keys, gone...), k, clients)
		if m := mostAdded(was, now); m > len(gone) {
			t.Fatalf("a client adds %d when %d leave", m, len(gone))
		}
		if m := mostAdded(now, was); m > len(gone) {
			t.Fatalf("a client adds %d when %d come", m, len(gone))
		}
	})
}

// A client that comes or goes costs the others ceil(B/C) each.
func TestClientsComeAndGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := backends(rapid.IntRange(2, 100).Draw(t, "backends"))
		k := rapid.IntRange(1, len(keys)).Draw(t, "k")
		ids := names("cart-", rapid.IntRange(2, 60).Draw(t, "clients"))
		gone := rapid.SampledFrom(ids).Draw(t, "gone")
		left := without(ids, gone)
		var was, now [][]string
		for _, id := range left {
			was = append(was, chosen(keys, k, subset.Among("cart", id, ids)))
			now = append(now, chosen(keys, k, subset.Among("cart", id, left)))
		}
		most := (len(keys) + len(ids) - 1) / len(ids)
		if n := mostAdded(was, now); n > most {
			t.Fatalf("%d of %d: one changes %d when one of %d clients goes, want at most %d", k, len(keys), n, len(ids), most)
		}
		if n := mostAdded(now, was); n > most {
			t.Fatalf("%d of %d: one changes %d when a client comes to make %d, want at most %d", k, len(keys), n, len(ids), most)
		}
	})
}

// A client that knows its name only changes what it must, always.
func TestNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := backends(rapid.IntRange(2, 60).Draw(t, "backends"))
		k := rapid.IntRange(1, len(keys)-1).Draw(t, "k")
		was := named(keys, k, 20)
		gone := rapid.SampledFrom(keys).Draw(t, "gone")
		now := named(without(keys, gone), k, 20)
		for i := range was {
			want := 0
			if slices.Contains(was[i], gone) {
				want = 1
			}
			if n := mostAdded(was[i:i+1], now[i:i+1]); n > want {
				t.Fatalf("client %d of %v changes %d when %s leaves, want %d", i, was[i], n, gone, want)
			}
		}
	})
}

// Chance decides how many clients a backend gets, and nothing worse: the counts
// have the variance of a binomial distribution.
func TestNamedSpread(t *testing.T) {
	const n, k, clients = 300, 10, 3000
	keys, variance := backends(n), 0.0
	counts := map[string]int{}
	for _, of := range named(keys, k, clients) {
		for _, key := range of {
			counts[key]++
		}
	}
	const mean, want = clients * k / n, clients * k / n * (1 - k/float64(n))
	for _, key := range keys {
		variance += math.Pow(float64(counts[key])-mean, 2) / n
	}
	if variance < 0.75*want || variance > 1.25*want {
		t.Errorf("the variance is %.1f, want about %.1f", variance, want)
	}
}

func TestOrderOfKeysDoesNotMatter(t *testing.T) {
	keys := backends(40)
	shuffled := slices.Clone(keys)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(keys), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for i := range 30 {
		for _, c := range []subset.Client{{ID: fmt.Sprint(i)}, {Ordinal: i, Count: 30}} {
			if a, b := chosen(keys, 7, c), chosen(shuffled, 7, c); !slices.Equal(a, b) {
				t.Errorf("%+v: %v, and in another order of the keys %v", c, a, b)
			}
		}
	}
}

// Names, also such as differ in one character, choose independently: two share
// k*k/n on average.
func TestNamesAreIndependent(t *testing.T) {
	const n, k, clients = 100, 10, 200
	all := named(backends(n), k, clients)
	shared, pairs := 0.0, 0.0
	var most int
	for i := range all {
		for j := range i {
			both := k - mostAdded(all[i:i+1], all[j:j+1])
			shared, pairs, most = shared+float64(both), pairs+1, max(most, both)
		}
	}
	if mean := shared / pairs; mean < 0.95 || mean > 1.05 || most > 7 {
		t.Errorf("two names share %.3f of 10 on average and %d at most, want 1 and not many more than 5", mean, most)
	}
}

// Services of one instance each do not all use the same backends.
func TestGroupsDiffer(t *testing.T) {
	keys := backends(100)
	used := map[string]int{}
	for i := range 50 {
		for _, key := range chosen(keys, 10, subset.Client{Group: fmt.Sprint("service-", i), Count: 1}) {
			used[key]++
		}
	}
	if len(used) < 90 {
		t.Errorf("50 groups use %d of 100 backends, want nearly all", len(used))
	}
}

// Clients with names that follow each other are spread over the circle.
func TestAmongScatters(t *testing.T) {
	ids := names("cart-", 100)
	distance := 0
	for i := range 99 {
		a, b := subset.Among("cart", ids[i], ids), subset.Among("cart", ids[i+1], ids)
		d := max(a.Ordinal-b.Ordinal, b.Ordinal-a.Ordinal)
		distance += min(d, 100-d)
	}
	if mean := distance / 99; mean < 20 || mean > 30 {
		t.Errorf("neighbors in name are %d places apart, want about 25", mean)
	}
}

func TestAmongNumbers(t *testing.T) {
	ids := names("cart-", 50)
	var ordinals []int
	for _, id := range ids {
		c := subset.Among("cart", id, ids)
		if c.Group != "cart" || c.ID != id || c.Count != 50 {
			t.Errorf("%s: got %+v", id, c)
		}
		ordinals = append(ordinals, c.Ordinal)
	}
	slices.Sort(ordinals)
	for i, o := range ordinals {
		if i != o {
			t.Fatalf("ordinals %v, want each of 0 to 49 once", ordinals)
		}
	}
	if got, want := subset.Among("cart", "other", ids), (subset.Client{Group: "cart", ID: "other"}); got != want {
		t.Errorf("one that is not listed: %+v, want %+v", got, want)
	}
}

func TestEdges(t *testing.T) {
	keys := []string{"a", "b", "c", "d"}
	all := []int{0, 1, 2, 3}
	unknown := subset.Choose(keys, 2, subset.Client{ID: "x"})
	for name, c := range map[string]struct {
		keys []string
		k    int
		c    subset.Client
		want []int
	}{
		"no backends":          {nil, 3, subset.Client{ID: "x"}, nil},
		"none wanted":          {keys, 0, subset.Client{ID: "x"}, nil},
		"fewer than none":      {keys, -1, subset.Client{Count: 1}, nil},
		"all wanted":           {keys, 4, subset.Client{ID: "x"}, all},
		"more than there are":  {keys, 9, subset.Client{Ordinal: 1, Count: 2}, all},
		"ordinal is too large": {keys, 2, subset.Client{ID: "x", Ordinal: 3, Count: 3}, unknown},
		"ordinal is negative":  {keys, 2, subset.Client{ID: "x", Ordinal: -1, Count: 3}, unknown},
		"count is negative":    {keys, 2, subset.Client{ID: "x", Ordinal: 0, Count: -3}, unknown},
	} {
		if got := subset.Choose(c.keys, c.k, c.c); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The contract: another version that fails this would change the backends of
// every client while it is rolled out, and put them out of balance.
func TestVectors(t *testing.T) {
	keys := []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80", "10.0.0.6:80", "10.0.0.7:80", "ü", ""}
	for _, v := range []struct {
		c    subset.Client
		want []int
	}{
		{subset.Client{Ordinal: 0, Count: 3}, []int{1, 5, 6, 7}},
		{subset.Client{Ordinal: 1, Count: 3}, []int{0, 3, 4, 6}},
		{subset.Client{Ordinal: 2, Count: 3}, []int{0, 2, 7, 8}},
		{subset.Client{Group: "cart", Ordinal: 0, Count: 2}, []int{1, 3, 4, 7}},
		{subset.Client{Group: "cart", Ordinal: 1, Count: 2}, []int{0, 2, 5, 6}},
		{subset.Client{ID: "cart-1"}, []int{3, 4, 6, 8}},
		{subset.Client{ID: "cart-2"}, []int{3, 4, 6, 8}},
		{subset.Client{Group: "cart", ID: "cart-2"}, []int{3, 5, 7, 8}},
	} {
		if got := subset.Choose(keys, 4, v.c); !slices.Equal(got, v.want) {
			t.Errorf("%+v: %v, want %v", v.c, got, v.want)
		}
	}
	if got := subset.Among("cart", "10.0.0.5:80", keys); got.Ordinal != 5 {
		t.Errorf("ordinal %d, want 5", got.Ordinal)
	}
}

func FuzzChoose(f *testing.F) {
	f.Add(uint16(10), 3, "cart", "cart-1", 0, 7)
	f.Add(uint16(300), 299, "", "", 0, 0)
	f.Add(uint16(5), -2, "", "", -1, -1)
	f.Add(uint16(50), 20, "\xff", "", math.MaxInt32-1, math.MaxInt32)
	f.Fuzz(func(t *testing.T, n uint16, k int, group, id string, ordinal, count int) {
		keys := backends(int(n % 1000))
		got := subset.Choose(keys, k, subset.Client{Group: group, ID: id, Ordinal: ordinal, Count: count})
		if want := max(0, min(k, len(keys))); len(got) != want {
			t.Fatalf("%d chosen, want %d", len(got), want)
		}
		for i, x := range got {
			if x < 0 || x >= len(keys) || i > 0 && got[i-1] >= x {
				t.Fatalf("chose %v of %d, want indices in increasing order", got, len(keys))
			}
		}
	})
}

func BenchmarkChoose(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		keys := backends(n)
		for name, c := range map[string]subset.Client{"place": {Ordinal: 17, Count: 300}, "name": {ID: "cart-17"}} {
			b.Run(fmt.Sprintf("%s/20of%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					subset.Choose(keys, 20, c)
				}
			})
		}
	}
}

func BenchmarkAmong(b *testing.B) {
	ids := names("cart-", 10_000)
	b.ReportAllocs()
	for b.Loop() {
		subset.Among("cart", "cart-17", ids)
	}
}
