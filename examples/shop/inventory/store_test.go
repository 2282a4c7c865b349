package inventory

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

func openStore(t *testing.T, path string, seed ...Stock) *SQLiteStore {
	t.Helper()
	s, err := OpenStore(t.Context(), path, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newStore(t *testing.T, seed ...Stock) *SQLiteStore {
	t.Helper()
	return openStore(t, filepath.Join(t.TempDir(), "inventory.db"), seed...)
}

func request(cart, key string, lines ...Line) Request {
	return Request{Cart: cart, Key: key, Lines: lines, Total: kit.Euros(100)}
}

func available(t *testing.T, s Store, product string) int {
	t.Helper()
	st, err := s.StockOf(t.Context(), product)
	if err != nil {
		t.Fatal(err)
	}
	return st.Available
}

func TestReserve(t *testing.T) {
	s := newStore(t, Stock{"mug", 10}, Stock{"pot", 3})
	req := request("c1", "k1", Line{"mug", 4}, Line{"pot", 3})
	res, created, err := s.Reserve(t.Context(), req)
	if err != nil || !created || !reflect.DeepEqual(res.Request, req) || res.Created.IsZero() {
		t.Fatalf("got %+v, %v, %v", res, created, err)
	}
	if !regexp.MustCompile(`^G-[A-Z2-7]{5}-[A-Z2-7]{5}-[A-Z2-7]{5}$`).MatchString(res.Order) {
		t.Errorf("order number %q", res.Order)
	}
	if mug, pot := available(t, s, "mug"), available(t, s, "pot"); mug != 6 || pot != 0 {
		t.Errorf("left: %d mugs, %d pots; want 6, 0", mug, pot)
	}

	again, created, err := s.Reserve(t.Context(), req)
	if err != nil || created || !reflect.DeepEqual(again, res) {
		t.Errorf("the same again: got %+v, %v, %v; want %+v, false", again, created, err, res)
	}
	found, created, err := s.Reserve(t.Context(), Request{Cart: "c1", Key: "k1"})
	if err != nil || created || !reflect.DeepEqual(found, res) {
		t.Errorf("the same without lines: got %+v, %v, %v; want %+v, false", found, created, err, res)
	}
	if mug := available(t, s, "mug"); mug != 6 {
		t.Errorf("the same again took goods: %d mugs left, want 6", mug)
	}
	stored, err := s.Reservation(t.Context(), res.Order)
	if err != nil || !reflect.DeepEqual(stored, res) {
		t.Errorf("stored: %+v, %v; want %+v", stored, err, res)
	}
}

func TestReserveRefuses(t *testing.T) {
	s := newStore(t, Stock{"mug", 10}, Stock{"pot", 3})
	for _, cart := range []string{"c1", "c2"} {
		if _, _, err := s.Reserve(t.Context(), request(cart, "key of "+cart, Line{"mug", 1})); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		req  Request
		want error
	}{
		"cart under another key":       {request("c1", "k2", Line{"mug", 1}), ErrAlreadyOrdered},
		"key of another cart":          {request("c3", "key of c1", Line{"mug", 1}), ErrKeyReused},
		"cart and key of two others":   {request("c1", "key of c2", Line{"mug", 1}), ErrAlreadyOrdered},
		"one line too much":            {request("c3", "k3", Line{"mug", 1}, Line{"pot", 4}), &InsufficientError{"pot", 3}},
		"one line unknown":             {request("c3", "k3", Line{"mug", 1}, Line{"anvil", 1}), &UnknownProductError{"anvil"}},
		"nothing":                      {request("c3", "k3"), ErrNothing},
		"a negative quantity":          {request("c3", "k3", Line{"mug", -1}), ErrBadRequest},
		"a product twice":              {request("c3", "k3", Line{"mug", 1}, Line{"mug", 1}), ErrBadRequest},
		"no cart":                      {request("", "k3", Line{"mug", 1}), ErrBadRequest},
		"no key":                       {request("c3", "", Line{"mug", 1}), ErrBadRequest},
		"a total without its currency": {Request{Cart: "c3", Key: "k3", Lines: []Line{{"mug", 1}}}, ErrBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, created, err := s.Reserve(t.Context(), c.req)
			if created || !(errors.Is(err, c.want) || reflect.DeepEqual(err, c.want)) {
				t.Errorf("got %v, %v; want %v", created, err, c.want)
			}
			if mug, pot := available(t, s, "mug"), available(t, s, "pot"); mug != 8 || pot != 3 {
				t.Errorf("a refusal took goods: %d mugs, %d pots left; want 8, 3", mug, pot)
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	s := newStore(t)
	if _, err := s.StockOf(t.Context(), "anvil"); !errors.Is(err, ErrNotFound) {
		t.Errorf("stock: got %v", err)
	}
	if _, err := s.Reservation(t.Context(), "G-0"); !errors.Is(err, ErrNotFound) {
		t.Errorf("reservation: got %v", err)
	}
}

// Two replicas, many buyers, one piece left: exactly one gets it.
func TestLastPieceIsSoldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inventory.db")
	replicas := []*SQLiteStore{openStore(t, path, Stock{"basket", 1}), openStore(t, path)}
	var sold, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			id := fmt.Sprint(i)
			_, created, err := replicas[i%2].Reserve(t.Context(), request("cart "+id, "key "+id, Line{"basket", 1}))
			if created {
				sold.Add(1)
			} else if _, ok := errors.AsType[*InsufficientError](err); ok {
				refused.Add(1)
			} else {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sold.Load() != 1 || refused.Load() != 23 || available(t, replicas[1], "basket") != 0 {
		t.Errorf("sold %d, refused %d, left %d; want 1, 23, 0", sold.Load(), refused.Load(), available(t, replicas[1], "basket"))
	}
}

// The same checkout arrives many times at both replicas: one order.
func TestSameCheckoutAtBothReplicasIsOneOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inventory.db")
	replicas := []*SQLiteStore{openStore(t, path, Stock{"mug", 100}), openStore(t, path)}
	var created atomic.Int32
	var orders sync.Map
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			res, fresh, err := replicas[i%2].Reserve(t.Context(), request("c", "k", Line{"mug", 1}))
			if err != nil {
				t.Error(err)
			}
			if fresh {
				created.Add(1)
			}
			orders.Store(res.Order, true)
		})
	}
	wg.Wait()
	n := 0
	orders.Range(func(any, any) bool { n++; return true })
	if created.Load() != 1 || n != 1 || available(t, replicas[0], "mug") != 99 {
		t.Errorf("created %d, order numbers %d, left %d; want 1, 1, 99", created.Load(), n, available(t, replicas[0], "mug"))
	}
}

func TestSeedingAgainDoesNotRestock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inventory.db")
	s := openStore(t, path, Seed()...)
	if _, _, err := s.Reserve(t.Context(), request("c", "k", Line{"gabion-basket", 2})); err != nil {
		t.Fatal(err)
	}
	if left := available(t, openStore(t, path, Seed()...), "gabion-basket"); left != 10 {
		t.Errorf("%d left after a restart, want 10", left)
	}
	all, err := s.Stock(t.Context())
	if err != nil || len(all) != len(Seed()) {
		t.Errorf("got %d products, %v; want %d", len(all), err, len(Seed()))
	}
}
