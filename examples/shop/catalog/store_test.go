package catalog

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

func openStore(t *testing.T, path string, seed []Product) *SQLiteStore {
	t.Helper()
	s, err := OpenStore(t.Context(), path, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStoreReturnsWhatWasSeeded(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "catalog.db"), Seed())
	all, err := s.Products(t.Context())
	if err != nil || !slices.Equal(all, Seed()) {
		t.Errorf("got %d products and %v, want the seed in its order", len(all), err)
	}
	p, err := s.Product(t.Context(), "moka-pot")
	if err != nil || p.Name != "Moka pot" {
		t.Errorf("got %q, %v", p.Name, err)
	}
	if _, err := s.Product(t.Context(), "no-such"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown product: got %v, want %v", err, ErrNotFound)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReplicasSeedAtTheSameMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { openStore(t, path, Seed()) })
	}
	wg.Wait()
	all, err := openStore(t, path, nil).Products(t.Context())
	if err != nil || len(all) != len(Seed()) {
		t.Errorf("got %d products and %v, want %d", len(all), err, len(Seed()))
	}
}

func TestSeedingAgainChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	openStore(t, path, []Product{{ID: "mug", Name: "Mug"}})
	again := openStore(t, path, []Product{{ID: "mug", Name: "Other"}, {ID: "new", Name: "New"}})
	if p, err := again.Product(t.Context(), "mug"); err != nil || p.Name != "Mug" {
		t.Errorf("got %q, %v; want Mug", p.Name, err)
	}
	if _, err := again.Product(t.Context(), "new"); err != nil {
		t.Errorf("a product added to the seed is missing: %v", err)
	}
}
