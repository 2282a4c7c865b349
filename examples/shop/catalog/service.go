package catalog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/kit"
)

// openTimeout bounds the opening of the store.
const openTimeout = 10 * time.Second

// Config is what one replica needs to know. The rest is gabion's, from the
// environment.
type Config struct {
	// DataDir holds the store. All replicas share it. Default: where the
	// process runs.
	DataDir string
	// Replica tells this copy from the others, counting from 1.
	Replica int
}

// Run serves the catalog until ctx ends or the process is told to stop.
func Run(ctx context.Context, cfg Config) error {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	store, err := OpenStore(opening, filepath.Join(cfg.DataDir, "catalog.db"), Seed())
	if err != nil {
		return err
	}
	s, err := gabion.New("catalog", gabion.WithMeta("replica", strconv.Itoa(cfg.Replica)))
	if err != nil {
		return errors.Join(fmt.Errorf("catalog: %w", err), store.Close())
	}
	s.OnStop("store", func(context.Context) error { return store.Close() })
	if _, err := s.Health().Add("store", store.Ping); err != nil {
		return errors.Join(fmt.Errorf("catalog: %w", err), s.Close())
	}
	kit.Mount(s, Routes(store, s.Logger()))
	return s.Run(ctx)
}
