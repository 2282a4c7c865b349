package storefront

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/kit"
	"github.com/gabion-go/gabion/transport"
)

// Config is what one replica needs to know. The rest is gabion's, from the
// environment.
type Config struct {
	// DataDir is not used: the storefront keeps nothing.
	DataDir string
	// Replica tells this copy from the others, counting from 1.
	Replica int
	// Options are further options of the service.
	Options []gabion.Option
}

// Policies are those by which the storefront calls its neighbours.
//
// An attempt is given up early enough for a second one, at another replica, to
// fit into the budget of the answer. To repeat a change is safe: changes of a
// cart set what they set, and a checkout has its key.
func Policies() transport.Policies {
	return transport.Policies{
		Default: transport.Policy{Timeout: 2 * time.Second, AttemptTimeout: 300 * time.Millisecond},
		Services: map[string]transport.Policy{
			cartName: {Timeout: checkoutBudget, AttemptTimeout: time.Second},
		},
	}
}

// Run serves the storefront until ctx ends or the process is told to stop.
func Run(ctx context.Context, cfg Config) error {
	policies := Policies()
	opts := []gabion.Option{
		gabion.WithMeta("replica", strconv.Itoa(cfg.Replica)),
		gabion.WithPolicy("", policies.Default),
		gabion.WithPolicy(cartName, policies.Services[cartName]),
	}
	s, err := gabion.New("storefront", append(opts, cfg.Options...)...)
	if err != nil {
		return fmt.Errorf("storefront: %w", err)
	}
	shop := NewShop(HTTPNeighbours(s.Client), DefaultBudget, s.Logger())
	routes := APIRoutes(shop, s.Logger())
	maps.Copy(routes, PageRoutes(shop, s.Logger()))
	kit.Mount(s, routes)
	s.Go("learn what is sold", shop.learn)
	return s.Run(ctx)
}

// learn asks for everything once, so that the shop has something to remember
// before its first visitor meets a neighbour that is down.
func (s *Shop) learn(ctx context.Context) error {
	for {
		l, err := s.Listing(ctx)
		if err == nil && len(l.Degraded) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
