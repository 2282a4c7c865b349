package cart

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
)

func openStore(t *testing.T, path string) *Store {
	t.Helper()
	s, err := OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newStore(t *testing.T) *Store { return openStore(t, filepath.Join(t.TempDir(), "cart.db")) }

// cartOf is a cart with n mugs, as of micros.
func cartOf(id string, n int, micros int64) Cart {
	at := Stamp{Micros: micros, Replica: "a"}
	return Cart{ID: id, Created: Stamp{1, "a"}, Entries: map[string]Entry{"mug": {n, at}}}
}

func TestStoreKeepsAcrossOpening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cart.db")
	s := openStore(t, path)
	want := cartOf("c1", 3, 77)
	if err := s.MergeFrom("peer", 42, []Cart{want}); err != nil {
		t.Fatal(err)
	}
	id := s.ID()
	s.Close()

	s = openStore(t, path)
	if got, err := s.Get("c1"); err != nil || !got.Equal(want) {
		t.Errorf("cart: got %+v, %v", got, err)
	}
	if n, err := s.Cursor("peer"); n != 42 || err != nil {
		t.Errorf("cursor: got %d, %v", n, err)
	}
	if at, err := s.Latest(); at.Micros != 77 || err != nil {
		t.Errorf("latest: got %+v, %v", at, err)
	}
	if met, err := s.MetPeers(); !met || err != nil {
		t.Errorf("met peers: got %v, %v", met, err)
	}
	if s.ID() != id || id == "" {
		t.Errorf("ID: got %q, was %q", s.ID(), id)
	}
}

func TestChangesAreLoggedOnceEach(t *testing.T) {
	s := newStore(t)
	steps := []struct {
		cart Cart
		want string // the log after it, as ID@sequence of the last
	}{
		{cartOf("c1", 1, 10), "[c1] 1"},
		{cartOf("c2", 1, 10), "[c1 c2] 2"},
		{cartOf("c1", 1, 10), "[c1 c2] 2"}, // nothing new
		{cartOf("c1", 9, 5), "[c1 c2] 2"},  // older
		{cartOf("c1", 2, 20), "[c2 c1] 3"}, // moves to the end
	}
	for i, step := range steps {
		if err := s.Merge([]Cart{step.cart}); err != nil {
			t.Fatal(err)
		}
		carts, next, more, err := s.Changes(0, 10)
		if err != nil || more {
			t.Fatalf("more %v, %v", more, err)
		}
		var ids []string
		for _, c := range carts {
			ids = append(ids, c.ID)
		}
		if got := fmt.Sprint(ids, " ", next); got != step.want {
			t.Errorf("step %d: got %s, want %s", i, got, step.want)
		}
	}
}

func TestChangesInPages(t *testing.T) {
	s := newStore(t)
	for i := range 7 {
		if err := s.Merge([]Cart{cartOf(fmt.Sprint("c", i), 1, 10)}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for after, more := uint64(0), true; more; {
		var carts []Cart
		var err error
		if carts, after, more, err = s.Changes(after, 3); err != nil {
			t.Fatal(err)
		}
		for _, c := range carts {
			got = append(got, c.ID)
		}
	}
	if want := "[c0 c1 c2 c3 c4 c5 c6]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if carts, next, more, err := s.Changes(99, 3); len(carts) != 0 || next != 99 || more || err != nil {
		t.Errorf("past the end: %v %d %v %v", carts, next, more, err)
	}
}

func TestUpdateIsAtomic(t *testing.T) {
	s := newStore(t)
	if err := s.Merge([]Cart{{ID: "c1", Created: Stamp{Micros: 1}}}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			_, err := s.Update("c1", func(before Cart, found bool) (Cart, error) {
				e := before.Entries["mug"]
				return before.Set("", "mug", e.Quantity+1, Stamp{Micros: e.Stamp.Micros + 1, Replica: "a"})
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if c, err := s.Get("c1"); err != nil || c.Entries["mug"].Quantity != 40 {
		t.Errorf("got %+v, %v, want 40", c, err)
	}
}

func TestUpdateThatFailsChangesNothing(t *testing.T) {
	s := newStore(t)
	errNo := errors.New("no")
	_, err := s.Update("c1", func(before Cart, found bool) (Cart, error) { return cartOf("c1", 1, 1), errNo })
	if !errors.Is(err, errNo) {
		t.Errorf("got %v, want %v", err, errNo)
	}
	if _, err := s.Get("c1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want %v", err, ErrNotFound)
	}
	if carts, _, _, err := s.Changes(0, 10); len(carts) != 0 || err != nil {
		t.Errorf("log: %v, %v", carts, err)
	}
}
