package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	// DataDir is where the store is, made if it is missing. All replicas share
	// one store. Default: where the process runs.
	DataDir string
	// Store keeps the products. It stays the caller's to close. Default
	// a file in DataDir.
	Store *SQLiteStore
	// Replica tells this copy from the others, counting from 1.
	Replica int
	// Options are further options of the service.
	Options []gabion.Option
}

// Run serves the catalog until ctx ends or the process is told to stop.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Store == nil {
		file, openErr := openIn(ctx, cfg.DataDir)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		cfg.Store = file
	}
	opts := []gabion.Option{gabion.WithMeta("replica", strconv.Itoa(cfg.Replica))}
	s, err := gabion.New("catalog", append(opts, cfg.Options...)...)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if _, err := s.Health().Add("store", cfg.Store.Ping); err != nil {
		return errors.Join(fmt.Errorf("catalog: %w", err), s.Close())
	}
	kit.Mount(s, Routes(cfg.Store, s.Logger()))
	return s.Run(ctx)
}

func openIn(ctx context.Context, dir string) (*SQLiteStore, error) {
	if err := os.MkdirAll(filepath.Clean(dir), 0o750); err != nil {
		return nil, fmt.Errorf("catalog: folder of the store: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return OpenStore(ctx, filepath.Join(dir, "catalog.db"), Seed())
}
