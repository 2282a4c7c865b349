package transport_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
)

// curious wants to know of some calls why they go where they go.
type curious struct {
	watcher
	asks  bool
	picks []*balance.Explanation
}

func (c *curious) StartCall(ctx context.Context, call *transport.Call) context.Context {
	call.Explain = c.asks
	return ctx
}

func (c *curious) StartAttempt(ctx context.Context, _ *transport.Call, a *transport.Attempt) context.Context {
	c.picks = append(c.picks, a.Pick)
	return ctx
}

// Each attempt of a call that is explained says why it goes where it goes.
func TestAttemptsAreExplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		busy := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
		f.start("cart", "a:1", busy)
		f.start("cart", "b:1", busy)
		o := &curious{}
		c := f.client(transport.WithObserver(o))
		_, _, _ = get(t.Context(), c, "http://cart/")
		for i, x := range o.picks {
			if x != nil {
				t.Errorf("attempt %d is explained, and nobody asked", i+1)
			}
		}
		o.asks, o.picks = true, nil
		_, _, _ = get(t.Context(), c, "http://cart/")
		if len(o.picks) != 3 || o.picks[0] == nil || o.picks[1] == nil {
			t.Fatalf("explained %v, want 3 attempts", o.picks)
		}
		first, second := o.picks[0], o.picks[1]
		if first.Excluded[balance.ExcludedTried] != 0 || second.Excluded[balance.ExcludedTried] != 1 {
			t.Errorf("excluded %v and then %v", first.Excluded, second.Excluded)
		}
		if first.Chosen.Instance.ID == second.Chosen.Instance.ID {
			t.Errorf("both chose %s", first.Chosen.Instance.ID)
		}
	})
}
