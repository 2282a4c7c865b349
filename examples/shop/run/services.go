package run

import (
	"context"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/cart"
	"github.com/gabion-go/gabion/examples/shop/catalog"
	"github.com/gabion-go/gabion/examples/shop/inventory"
	"github.com/gabion-go/gabion/examples/shop/pricing"
	"github.com/gabion-go/gabion/examples/shop/storefront"
)

// instance says which of its service's instances a process is.
type instance struct {
	replica int
	data    string // folder of the store
	options []gabion.Option
}

// service runs one instance until it has drained.
type service func(context.Context, instance) error

// services returns all services by name.
func services() map[string]service {
	return map[string]service{
		"cart": func(ctx context.Context, in instance) error {
			return cart.Run(ctx, cart.Config{DataDir: in.data, Replica: in.replica, Options: in.options})
		},
		"catalog": func(ctx context.Context, in instance) error {
			return catalog.Run(ctx, catalog.Config{DataDir: in.data, Replica: in.replica, Options: in.options})
		},
		"inventory": func(ctx context.Context, in instance) error {
			return inventory.Run(ctx, inventory.Config{DataDir: in.data, Replica: in.replica, Options: in.options})
		},
		"pricing": func(ctx context.Context, in instance) error {
			return pricing.Run(ctx, pricing.Config{DataDir: in.data, Replica: in.replica, Options: in.options})
		},
		"storefront": func(ctx context.Context, in instance) error {
			return storefront.Run(ctx, storefront.Config{DataDir: in.data, Replica: in.replica, Options: in.options})
		},
	}
}
