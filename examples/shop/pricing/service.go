package pricing

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/kit"
)

// Config is what one replica needs to know. The rest is gabion's, from the
// environment.
type Config struct {
	// DataDir is not used: prices are code.
	DataDir string
	// Replica tells this copy from the others, counting from 1.
	Replica int
	// Options are further options of the service.
	Options []gabion.Option
}

// Run serves prices until ctx ends or the process is told to stop.
func Run(ctx context.Context, cfg Config) error {
	opts := []gabion.Option{gabion.WithMeta("replica", strconv.Itoa(cfg.Replica))}
	s, err := gabion.New("pricing", append(opts, cfg.Options...)...)
	if err != nil {
		return fmt.Errorf("pricing: %w", err)
	}
	kit.Mount(s, Routes(Current(), time.Now))
	return s.Run(ctx)
}
