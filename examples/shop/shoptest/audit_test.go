package shoptest

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/gabion-go/gabion/examples/shop/cart"
	"github.com/gabion-go/gabion/examples/shop/inventory"
	"github.com/gabion-go/gabion/examples/shop/kit/sqlite"
	tt "github.com/gabion-go/gabion/transport/transporttest"
)

// audit compares what the shop has with what it has acknowledged.
func (s *simulation) audit(faults []tt.Fault) {
	for _, host := range []string{"cart-1", "cart-2"} {
		held := s.carts(host)
		for _, l := range s.books.all {
			c, made := held[l.cart]
			if !made {
				s.Errorf("%s has no cart %s, which was made", host, l.cart)
				continue
			}
			for _, wrong := range l.checkCart(c) {
				s.Errorf("%s, cart %s: %s", host, l.cart, wrong)
			}
		}
	}
	s.auditOrders(!slices.ContainsFunc(faults, partsCarts))
	for _, wrong := range s.pages.all() {
		s.Error(wrong)
	}
}

// carts returns all that a replica of the cart service has.
func (s *simulation) carts(host string) map[string]cart.Cart {
	a := s.Direct("auditor", host).Get("/internal/changes?after=0")
	var log struct{ Carts []cart.Cart }
	if !a.OK() || a.Decode(&log) != nil {
		s.Fatalf("the carts of %s: %v", host, a)
	}
	all := map[string]cart.Cart{}
	for _, c := range log.Carts {
		all[c.ID] = c
	}
	return all
}

// reservation is a row of the inventory's store.
type reservation struct {
	order, cart, key string
	lines            []line
}

// auditOrders checks that the inventory has the acknowledged orders and no
// other, and has taken from its stock what they say. whole demands that they
// have all that was in the carts: replicas that do not reach each other cannot
// promise that, as the documentation of package cart says.
func (s *simulation) auditOrders(whole bool) {
	stock, orders := s.inventoryBooks()
	sold := map[string]int{}
	bought := map[string]reservation{}
	for _, r := range orders {
		if _, twice := bought[r.cart]; twice {
			s.Errorf("cart %s was ordered twice: %v", r.cart, orders)
		}
		bought[r.cart] = r
		for _, l := range r.lines {
			sold[l.Product] += l.Quantity
		}
	}
	for _, st := range inventory.Seed()[:products] {
		if got, want := stock[st.Product], st.Available-sold[st.Product]; got != want {
			s.Errorf("%d of %s left, want %d: %d less those ordered", got, st.Product, want, st.Available)
		}
	}
	for _, l := range s.books.all {
		s.auditOrder(l, bought[l.cart], whole)
		delete(bought, l.cart)
	}
	for _, r := range bought {
		s.Errorf("order %s of cart %s, which nobody has", r.order, r.cart)
	}
}

func (s *simulation) auditOrder(l *ledger, r reservation, whole bool) {
	switch {
	case l.tried && l.order == nil && l.refused == "":
		s.Errorf("cart %s: the checkout was never answered", l.cart)
	case l.order == nil && r.order != "":
		s.Errorf("cart %s: order %s, which nobody was told of", l.cart, r.order)
	case l.order != nil && (r.order != l.order.ID || r.key != l.key() || !slices.Equal(r.lines, l.order.Lines)):
		s.Errorf("cart %s: acknowledged %v, ordered %v", l.cart, *l.order, r)
	case l.order != nil && whole:
		for _, wrong := range l.check(contents{Items: r.lines}) {
			s.Errorf("order %s of cart %s: %s", r.order, l.cart, wrong)
		}
	}
}

// inventoryBooks reads the inventory's store as it is on the disk.
func (s *simulation) inventoryBooks() (stock map[string]int, orders []reservation) {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, s.inventoryFile(), sqlite.SyncNormal, "")
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = db.Close() }() // it was only read
	stock = map[string]int{}
	rows, err := db.Query(ctx, "SELECT product, available FROM stock")
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var product string
		var available int
		if err := rows.Scan(&product, &available); err != nil {
			s.Fatal(err)
		}
		stock[product] = available
	}
	if err := rows.Err(); err != nil {
		s.Fatal(err)
	}
	return stock, s.reservations(ctx, db)
}

func (s *simulation) reservations(ctx context.Context, db *sqlite.DB) (all []reservation) {
	rows, err := db.Query(ctx, "SELECT order_no, cart, key, lines FROM reservations ORDER BY order_no")
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r reservation
		var lines string
		if err := rows.Scan(&r.order, &r.cart, &r.key, &lines); err != nil {
			s.Fatal(err)
		}
		if err := json.Unmarshal([]byte(lines), &r.lines); err != nil {
			s.Fatal(err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		s.Fatal(err)
	}
	return all
}

// partsCarts reports whether a fault can keep one replica of the cart from what
// the other one was told.
func partsCarts(f tt.Fault) bool {
	for _, name := range []string{f.On, f.From, f.To} {
		switch name {
		case "cart", "cart-1", "cart-2", tt.Everyone:
			return true
		}
	}
	return false
}
