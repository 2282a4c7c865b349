package inventory

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit/sqlite"
)

const schema = `
CREATE TABLE IF NOT EXISTS stock (
	product   TEXT PRIMARY KEY,
	available INTEGER NOT NULL CHECK (available >= 0)
) STRICT;
CREATE TABLE IF NOT EXISTS reservations (
	order_no TEXT PRIMARY KEY,
	cart     TEXT NOT NULL UNIQUE,
	key      TEXT NOT NULL UNIQUE,
	lines    TEXT NOT NULL,
	amount   INTEGER NOT NULL,
	currency TEXT NOT NULL,
	created  TEXT NOT NULL
) STRICT`

const columns = "order_no, cart, key, lines, amount, currency, created"

// storedLine is a [Line] in the column lines, a JSON array.
type storedLine struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// SQLiteStore keeps the inventory in a SQLite file that other processes may
// have open too. A commit returns once it is on the disk. It may be used by
// many goroutines at once.
type SQLiteStore struct {
	db *sqlite.DB
}

var _ Store = (*SQLiteStore)(nil)

// OpenStore opens the store at path and adds those of seed that it does not
// hold; stock already there is left as it is. Several replicas may open a new
// store at the same moment. ctx bounds OpenStore alone.
func OpenStore(ctx context.Context, path string, seed []Stock) (*SQLiteStore, error) {
	db, err := sqlite.Open(ctx, path, sqlite.SyncFull, schema)
	if err != nil {
		return nil, fmt.Errorf("inventory: open store: %w", err)
	}
	s := &SQLiteStore{db}
	if err := s.add(ctx, seed); err != nil {
		return nil, errors.Join(fmt.Errorf("inventory: seed store: %w", err), s.Close())
	}
	return s, nil
}

func (s *SQLiteStore) add(ctx context.Context, stock []Stock) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		for _, st := range stock {
			_, err := tx.ExecContext(ctx,
				"INSERT INTO stock (product, available) VALUES (?, ?) ON CONFLICT (product) DO NOTHING",
				st.Product, st.Available)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Stock implements [Store].
func (s *SQLiteStore) Stock(ctx context.Context) ([]Stock, error) {
	rows, err := s.db.Query(ctx, "SELECT product, available FROM stock ORDER BY product")
	if err != nil {
		return nil, fmt.Errorf("inventory: list stock: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []Stock
	for rows.Next() {
		var st Stock
		if err := rows.Scan(&st.Product, &st.Available); err != nil {
			return nil, fmt.Errorf("inventory: list stock: %w", err)
		}
		all = append(all, st)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("inventory: list stock: %w", err)
	}
	return all, nil
}

// StockOf implements [Store].
func (s *SQLiteStore) StockOf(ctx context.Context, product string) (Stock, error) {
	st := Stock{Product: product}
	err := s.db.QueryRow(ctx, "SELECT available FROM stock WHERE product = ?", product).Scan(&st.Available)
	if err != nil {
		return Stock{}, found(err, "stock of", product)
	}
	return st, nil
}

// Reservation implements [Store].
func (s *SQLiteStore) Reservation(ctx context.Context, order string) (Reservation, error) {
	res, err := scan(s.db.QueryRow(ctx, "SELECT "+columns+" FROM reservations WHERE order_no = ?", order))
	if err != nil {
		return Reservation{}, found(err, "order", order)
	}
	return res, nil
}

// found turns the absence of a row into ErrNotFound and wraps any other error.
func found(err error, what, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return fmt.Errorf("inventory: %s %q: %w", what, id, err)
}

// Reserve implements [Store].
func (s *SQLiteStore) Reserve(ctx context.Context, req Request) (res Reservation, created bool, err error) {
	if err := req.Validate(); err != nil {
		return Reservation{}, false, err
	}
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		stored, err := existing(ctx, tx, req)
		if err != nil {
			return err
		}
		if stored != nil {
			res = *stored
			return nil
		}
		if len(req.Lines) == 0 {
			return ErrNothing
		}
		res = Reservation{Order: newOrder(), Request: req, Created: time.Now().UTC()}
		created = true
		return reserve(ctx, tx, res)
	})
	if err != nil {
		return Reservation{}, false, refusal(err)
	}
	return res, created, nil
}

// refusal returns an error of the domain as it is and wraps one of the store.
func refusal(err error) error {
	if errors.Is(err, ErrNothing) || errors.Is(err, ErrAlreadyOrdered) || errors.Is(err, ErrKeyReused) {
		return err
	}
	if _, ok := errors.AsType[*InsufficientError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*UnknownProductError](err); ok {
		return err
	}
	return fmt.Errorf("inventory: reserve: %w", err)
}

// existing returns the reservation that req repeats, nil if there is none, or
// the error that req contradicts one.
func existing(ctx context.Context, tx *sql.Tx, req Request) (*Reservation, error) {
	rows, err := tx.QueryContext(ctx,
		"SELECT "+columns+" FROM reservations WHERE cart = ? OR key = ?", req.Cart, req.Key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var other *Reservation // holds the key, but for another cart
	for rows.Next() {
		res, err := scan(rows)
		switch {
		case err != nil:
			return nil, err
		case res.Cart == req.Cart && res.Key == req.Key:
			return &res, nil
		case res.Cart == req.Cart:
			return nil, ErrAlreadyOrdered
		}
		other = &res
	}
	if other != nil && rows.Err() == nil {
		return nil, ErrKeyReused
	}
	return nil, rows.Err()
}

// reserve writes res and takes its goods out of stock.
func reserve(ctx context.Context, tx *sql.Tx, res Reservation) error {
	for _, l := range res.Lines {
		if err := take(ctx, tx, l); err != nil {
			return err
		}
	}
	stored := make([]storedLine, 0, len(res.Lines))
	for _, l := range res.Lines {
		stored = append(stored, storedLine(l))
	}
	lines, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx,
		"INSERT INTO reservations ("+columns+") VALUES (?, ?, ?, ?, ?, ?, ?)",
		res.Order, res.Cart, res.Key, string(lines), res.Total.Amount, res.Total.Currency,
		res.Created.Format(time.RFC3339Nano))
	return err
}

func take(ctx context.Context, tx *sql.Tx, l Line) error {
	var available int
	err := tx.QueryRowContext(ctx, "SELECT available FROM stock WHERE product = ?", l.Product).Scan(&available)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return &UnknownProductError{l.Product}
	case err != nil:
		return err
	case available < l.Quantity:
		return &InsufficientError{l.Product, available}
	}
	_, err = tx.ExecContext(ctx, "UPDATE stock SET available = available - ? WHERE product = ?", l.Quantity, l.Product)
	return err
}

func scan(row interface{ Scan(...any) error }) (res Reservation, err error) {
	var lines, created string
	if err := row.Scan(&res.Order, &res.Cart, &res.Key, &lines,
		&res.Total.Amount, &res.Total.Currency, &created); err != nil {
		return Reservation{}, err
	}
	var stored []storedLine
	if err := json.Unmarshal([]byte(lines), &stored); err != nil {
		return Reservation{}, err
	}
	for _, l := range stored {
		res.Lines = append(res.Lines, Line(l))
	}
	res.Created, err = time.Parse(time.RFC3339Nano, created)
	return res, err
}

// Ping implements [Store].
func (s *SQLiteStore) Ping(ctx context.Context) error { return s.db.Ping(ctx) }

// Close closes the store.
func (s *SQLiteStore) Close() error { return s.db.Close() }
