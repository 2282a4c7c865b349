package shoptest

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/examples/shop/inventory"
	tt "github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/bubble"
)

// keyless is an inventory that ignores idempotency keys: whoever asks again has
// ordered again.
type keyless struct{ *inventory.SQLiteStore }

func (k keyless) Reserve(ctx context.Context, req inventory.Request) (inventory.Reservation, bool, error) {
	res, created, err := k.SQLiteStore.Reserve(ctx, req)
	if err != nil || created {
		return res, created, err
	}
	another := req
	another.Cart, another.Key = req.Cart+" again", req.Key+" "+rand.Text()
	res, created, err = k.SQLiteStore.Reserve(ctx, another)
	res.Request = req
	return res, created, err
}

// forgetful is an inventory that answers before it has written anything down,
// and never gets to it for some carts.
type forgetful struct{ *inventory.SQLiteStore }

func (f forgetful) Reserve(ctx context.Context, req inventory.Request) (inventory.Reservation, bool, error) {
	if len(req.Lines) == 0 { // it only asks what was written down
		return f.SQLiteStore.Reserve(ctx, req)
	}
	if strings.HasPrefix(req.Cart, "A") || strings.HasPrefix(req.Cart, "B") {
		return inventory.Reservation{Order: "G-" + req.Cart, Request: req}, true, nil
	}
	return f.SQLiteStore.Reserve(ctx, req)
}

// generous is an inventory that takes more from its stock than was ordered: it
// reserves a second time for good measure.
type generous struct{ *inventory.SQLiteStore }

func (g generous) Reserve(ctx context.Context, req inventory.Request) (inventory.Reservation, bool, error) {
	res, created, err := g.SQLiteStore.Reserve(ctx, req)
	if created {
		req.Cart, req.Key = req.Cart+"+", req.Key+"+"
		_, _, _ = g.SQLiteStore.Reserve(ctx, req)
	}
	return res, created, err
}

// TestBrokenShopsAreFound breaks the shop on purpose: a simulation that passes
// shows nothing unless it fails here.
func TestBrokenShopsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		stock func(*inventory.SQLiteStore) inventory.Store
		want  string
	}{
		"ignores the key":            {func(s *inventory.SQLiteStore) inventory.Store { return keyless{s} }, "which nobody has"},
		"answers before it commits":  {func(s *inventory.SQLiteStore) inventory.Store { return forgetful{s} }, "ordered {"},
		"takes more than is ordered": {func(s *inventory.SQLiteStore) inventory.Store { return generous{s} }, "which nobody has"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const most = 20
			for seed := range uint64(most) {
				err := bubble.Run(t.Name(), func(tb testing.TB) {
					n := tt.New(tb, tt.WithSeed(seed+1))
					simulate(tb, open(tb, n, c.stock), randomFaults(seed+1))
				})
				if err != nil && strings.Contains(err.Error(), c.want) {
					t.Logf("found by seed %d", seed+1)
					return
				}
				if err != nil {
					t.Fatalf("seed %d failed for another reason, want %q: %v", seed+1, c.want, err)
				}
			}
			t.Errorf("%d seeds have not found it", most)
		})
	}
}
