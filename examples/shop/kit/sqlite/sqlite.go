// Package sqlite opens a SQLite file that several processes share and that
// survives the sudden death of any of them.
//
// The file is in WAL mode: readers never wait for a writer. Writers take their
// lock when the transaction begins, so that no transaction fails half-way
// because another one got there first. They wait in the process before they
// wait at the file, and there until their context ends. Keep transactions short
// and free of anything that waits: a process stopped inside one holds up every
// other writer of the file.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

const (
	// readTimeout is how long a reader waits for a process that repairs the
	// file after a crash. Nothing else holds up a reader.
	readTimeout = 2 * time.Second
	// retryMin and retryMax bound the time between two attempts to take the
	// write lock. A process that writes without pause lets go of the lock for a
	// fraction of a millisecond. SQLite's own wait asks for it up to 100 ms
	// apart and may go on missing that moment for seconds.
	retryMin, retryMax = time.Millisecond, 3 * time.Millisecond
)

// Sync says when a commit is on the disk.
type Sync string

const (
	// SyncFull returns from a commit once it would survive a power cut.
	SyncFull Sync = "FULL"
	// SyncNormal survives the death of any process. A power cut may take the
	// last commits back, but leaves the file consistent.
	SyncNormal Sync = "NORMAL"
)

// DB is one SQLite file. Its methods may be used by many goroutines at once.
type DB struct {
	read, write *sql.DB
}

// Open opens the file at path, made if it is missing, and runs schema on it in
// one transaction. schema must be safe to run again ("CREATE TABLE IF NOT
// EXISTS ..."). Two processes may open a new file at the same moment. ctx bounds
// Open alone.
func Open(ctx context.Context, path string, sync Sync, schema string) (*DB, error) {
	db := &DB{}
	if err := errors.Join(
		open(&db.write, dsn(path, sync, 0), 1), // Write waits
		open(&db.read, dsn(path, sync, readTimeout), 8),
	); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %q: %w", path, err), db.Close())
	}
	migrate := func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, schema)
		return err
	}
	if err := db.Write(ctx, migrate); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: prepare %q: %w", path, err), db.Close())
	}
	return db, nil
}

func open(db **sql.DB, dsn string, conns int) (err error) {
	if *db, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	(*db).SetMaxOpenConns(conns)
	(*db).SetMaxIdleConns(conns)
	return nil
}

func dsn(path string, sync Sync, busyTimeout time.Duration) string {
	q := url.Values{
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
			"journal_mode(WAL)",
			fmt.Sprintf("synchronous(%s)", sync),
			"foreign_keys(1)",
		},
		"_txlock": {"immediate"},
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// Write runs do in a transaction that holds the file's write lock from its
// start, commits if do returns nil and rolls back otherwise. It waits for the
// lock until ctx ends. The transaction is do's alone and ends with it.
func (db *DB) Write(ctx context.Context, do func(*sql.Tx) error) error {
	var conn *sql.Conn
	err := whileBusy(ctx, func() (err error) {
		conn, err = db.write.Conn(ctx) // turns a new file to WAL mode
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back
	var tx *sql.Tx
	err = whileBusy(ctx, func() (err error) {
		tx, err = conn.BeginTx(ctx, nil)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// whileBusy runs try until it succeeds, fails for another reason than a locked
// file, or ctx ends.
func whileBusy(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !busy(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(retryMin + rand.N(retryMax-retryMin)):
		}
	}
}

func busy(err error) bool {
	e, ok := errors.AsType[*driver.Error](err)
	return ok && e.Code()&0xff == lib.SQLITE_BUSY
}

// Query runs a statement that changes nothing, as [sql.DB.QueryContext] does.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return db.read.QueryContext(ctx, query, args...)
}

// QueryRow is Query for at most one row, as [sql.DB.QueryRowContext] does.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return db.read.QueryRowContext(ctx, query, args...)
}

// Ping reports whether the file can be read. It is fit for a readiness check.
func (db *DB) Ping(ctx context.Context) error {
	var n int
	if err := db.QueryRow(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
		return fmt.Errorf("sqlite: ping: %w", err)
	}
	return nil
}

// Close waits for running statements and closes the file.
func (db *DB) Close() error {
	var errs []error
	for _, pool := range []*sql.DB{db.read, db.write} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}
