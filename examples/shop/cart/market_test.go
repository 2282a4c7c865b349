package cart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
	"github.com/gabion-go/gabion/transport"
)

// market is pricing and inventory as the cart service relies on them: every
// piece costs a euro, and there is one order for a cart and a key.
type market struct {
	mu       sync.Mutex
	byCart   map[string]Order
	keys     map[string]string // key -> cart
	priceErr error
	stockErr error         // answered after the order was made
	hold     chan struct{} // if set, Reserve sends before it decides, twice
}

func newMarket() *market { return &market{byCart: map[string]Order{}, keys: map[string]string{}} }

func (m *market) Quote(_ context.Context, _ string, lines []Line) (kit.Money, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(lines) == 0 {
		return kit.Money{}, &UnavailableError{pricingName, errors.New("no lines")} // what the service refuses
	}
	total := 0
	for _, l := range lines {
		total += 100 * l.Quantity
	}
	return kit.Euros(int64(total)), m.priceErr
}

func (m *market) Reserve(ctx context.Context, cart, key string, lines []Line, total kit.Money) (Order, bool, error) {
	if m.hold != nil {
		m.hold <- struct{}{}
		m.hold <- struct{}{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.byCart[cart]; ok {
		if o.Key != key {
			return Order{}, false, ErrOrdered
		}
		return o, false, m.stockErr
	}
	if _, used := m.keys[key]; used {
		return Order{}, false, ErrKeyReused
	}
	if len(lines) == 0 {
		return Order{}, false, ErrEmpty
	}
	o := Order{ID: fmt.Sprint("G-", len(m.byCart)+1), Key: key, Lines: lines, Total: total, Created: time.Unix(1, 0).UTC()}
	m.byCart[cart], m.keys[key] = o, cart
	return o, true, m.stockErr
}

func (m *market) orderOf(cart string) Order {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byCart[cart]
}

func (m *market) orders() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byCart)
}

// serve makes the market answer as pricing and inventory do. One reservation
// in five is made, and its answer lost.
func (m *market) serve(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/quote", func(w http.ResponseWriter, r *http.Request) {
		var in askJSON
		if transport.DecodeJSON(w, r, &in) == nil {
			total, _ := m.Quote(r.Context(), "", fromLinesJSON(in.Lines))
			_ = transport.WriteJSON(w, 200, quoteJSON{in.Lines, total})
		}
	})
	mux.HandleFunc("/v1/reservations", func(w http.ResponseWriter, r *http.Request) {
		var in reserveJSON
		if transport.DecodeJSON(w, r, &in) != nil {
			return
		}
		o, created, err := m.Reserve(r.Context(), in.Cart, in.Key, fromLinesJSON(in.Lines), in.Total)
		switch {
		case rand.N(5) == 0:
			panic(http.ErrAbortHandler)
		case err != nil:
			transport.WriteProblem(w, r, problem(err))
		default:
			status := map[bool]int{true: 201, false: 200}[created]
			_ = transport.WriteJSON(w, status, reservationJSON{o.ID, in.Cart, o.Key, toLinesJSON(o.Lines), o.Total, o.Created})
		}
	})
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}
