package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/gabion-go/gabion/examples/shop/kit/sqlite"
)

const schema = `
CREATE TABLE IF NOT EXISTS products (
	id          TEXT PRIMARY KEY,
	position    INTEGER NOT NULL,
	name        TEXT NOT NULL,
	description TEXT NOT NULL,
	category    TEXT NOT NULL,
	image       TEXT NOT NULL
) STRICT`

const columns = "id, name, description, category, image"

// SQLiteStore keeps products in a SQLite file that other processes may have
// open too. It may be used by many goroutines at once.
type SQLiteStore struct {
	db *sqlite.DB
}

var _ Store = (*SQLiteStore)(nil)

// OpenStore opens the store at path and adds those of seed that it does not
// hold; products already there are left as they are. Several replicas may open
// a new store at the same moment. ctx bounds OpenStore alone.
func OpenStore(ctx context.Context, path string, seed []Product) (*SQLiteStore, error) {
	db, err := sqlite.Open(ctx, path, sqlite.SyncNormal, schema)
	if err != nil {
		return nil, fmt.Errorf("catalog: open store: %w", err)
	}
	s := &SQLiteStore{db}
	if err := s.add(ctx, seed); err != nil {
		return nil, errors.Join(fmt.Errorf("catalog: seed store: %w", err), s.Close())
	}
	return s, nil
}

func (s *SQLiteStore) add(ctx context.Context, products []Product) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		for i, p := range products {
			_, err := tx.ExecContext(ctx, `
				INSERT INTO products (id, position, name, description, category, image)
				VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
				p.ID, i, p.Name, p.Description, p.Category, p.Image)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Products implements [Store].
func (s *SQLiteStore) Products(ctx context.Context) ([]Product, error) {
	rows, err := s.db.Query(ctx, "SELECT "+columns+" FROM products ORDER BY position, id")
	if err != nil {
		return nil, fmt.Errorf("catalog: list products: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []Product
	for rows.Next() {
		p, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("catalog: list products: %w", err)
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("catalog: list products: %w", err)
	}
	return all, nil
}

// Product implements [Store].
func (s *SQLiteStore) Product(ctx context.Context, id string) (Product, error) {
	p, err := scan(s.db.QueryRow(ctx, "SELECT "+columns+" FROM products WHERE id = ?", id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Product{}, ErrNotFound
	case err != nil:
		return Product{}, fmt.Errorf("catalog: product %q: %w", id, err)
	}
	return p, nil
}

func scan(row interface{ Scan(...any) error }) (p Product, err error) {
	err = row.Scan(&p.ID, &p.Name, &p.Description, &p.Category, &p.Image)
	return p, err
}

// Ping reports whether the store can be read.
func (s *SQLiteStore) Ping(ctx context.Context) error { return s.db.Ping(ctx) }

// Close closes the store.
func (s *SQLiteStore) Close() error { return s.db.Close() }
