package cart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
	"github.com/gabion-go/gabion/transport"
)

// The services that a checkout asks.
const (
	pricingName   = "pricing"
	inventoryName = "inventory"
)

// maxReply bounds what a neighbour may say, in bytes.
const maxReply = 1 << 20

var errGarbage = errors.New("an answer that makes no sense")

// neighbour is a service that is asked by name.
type neighbour struct {
	name   string
	client *http.Client
}

// reply is what came back, whatever its status.
type reply struct {
	status int
	body   []byte
}

// post sends a question that may be repeated under key. The error is an
// [*UnavailableError]; statuses from 500 on are errors too.
func (n neighbour) post(ctx context.Context, path, key string, question any) (reply, error) {
	a, err := n.send(ctx, path, key, question)
	if err == nil && a.status > 499 {
		err = fmt.Errorf("status %d", a.status)
	}
	if err != nil {
		return reply{}, n.unavailable(err)
	}
	return a, nil
}

func (n neighbour) send(ctx context.Context, path, key string, question any) (reply, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return reply{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.name+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(transport.HeaderIdempotencyKey, key)
	resp, err := n.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	return reply{resp.StatusCode, data}, err
}

func (n neighbour) unavailable(err error) error { return &UnavailableError{n.name, err} }

// refused makes an error of a reply whose status is not a success.
func (n neighbour) refused(a reply) error {
	var p transport.Problem
	_ = json.Unmarshal(a.body, &p) // without words the status has to do
	product, _ := p.Extra["product"].(string)
	switch p.Type {
	case "/problems/insufficient-stock":
		available, _ := p.Extra["available"].(float64)
		return &ShortageError{product, int(available)}
	case "/problems/unknown-product":
		return &UnknownProductError{product}
	case "/problems/nothing-to-reserve":
		return ErrEmpty
	case "/problems/already-ordered":
		return ErrOrdered
	case "/problems/key-reused":
		return ErrKeyReused
	}
	return n.unavailable(fmt.Errorf("status %d: %.200s", a.status, p.Detail))
}

// PricingClient asks the pricing service. It implements [Prices].
type PricingClient struct{ n neighbour }

// NewPricing returns a client of the service "pricing" over client, which
// resolves the name.
func NewPricing(client *http.Client) *PricingClient {
	return &PricingClient{neighbour{pricingName, client}}
}

type askJSON struct {
	Lines []lineJSON `json:"lines"`
}

type quoteJSON struct {
	Lines []lineJSON `json:"lines"`
	Total kit.Money  `json:"total"`
}

// Quote implements [Prices].
func (p *PricingClient) Quote(ctx context.Context, key string, lines []Line) (kit.Money, error) {
	a, err := p.n.post(ctx, "/v1/quote", key, askJSON{toLinesJSON(lines)})
	if err != nil {
		return kit.Money{}, err
	}
	if a.status != http.StatusOK {
		return kit.Money{}, p.n.refused(a)
	}
	var q quoteJSON
	if err := json.Unmarshal(a.body, &q); err != nil || !saneMoney(q.Total) || !slices.Equal(fromLinesJSON(q.Lines), lines) {
		return kit.Money{}, p.n.unavailable(errGarbage)
	}
	return q.Total, nil
}

// InventoryClient asks the inventory service. It implements [Inventory].
type InventoryClient struct{ n neighbour }

// NewInventory returns a client of the service "inventory" over client, which
// resolves the name.
func NewInventory(client *http.Client) *InventoryClient {
	return &InventoryClient{neighbour{inventoryName, client}}
}

type reservationJSON struct {
	Order   string     `json:"order"`
	Cart    string     `json:"cart"`
	Key     string     `json:"key"`
	Lines   []lineJSON `json:"lines"`
	Total   kit.Money  `json:"total"`
	Created time.Time  `json:"created"`
}

type reserveJSON struct {
	Cart  string     `json:"cart"`
	Key   string     `json:"key"`
	Lines []lineJSON `json:"lines"`
	Total kit.Money  `json:"total"`
}

// Reserve implements [Inventory].
func (i *InventoryClient) Reserve(ctx context.Context, cart, key string, lines []Line, total kit.Money) (Order, bool, error) {
	a, err := i.n.post(ctx, "/v1/reservations", key, reserveJSON{cart, key, toLinesJSON(lines), total})
	if err != nil {
		return Order{}, false, err
	}
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		return Order{}, false, i.n.refused(a)
	}
	var r reservationJSON
	if err := json.Unmarshal(a.body, &r); err != nil || r.Order == "" || r.Cart != cart || r.Key != key || !saneMoney(r.Total) {
		return Order{}, false, i.n.unavailable(errGarbage)
	}
	// What counts is the order as the inventory has it: an earlier call under
	// this key may have reserved other lines than this one asked for.
	o := Order{ID: r.Order, Key: key, Lines: fromLinesJSON(r.Lines), Total: r.Total, Created: r.Created}
	return o, a.status == http.StatusCreated, nil
}

func saneMoney(m kit.Money) bool { return m.Amount >= 0 && len(m.Currency) == 3 }
