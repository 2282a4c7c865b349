package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit/sqlite"
)

const schema = `CREATE TABLE IF NOT EXISTS n (v INTEGER NOT NULL); CREATE TABLE IF NOT EXISTS m (v INTEGER)`

func open(t *testing.T, path string) *sqlite.DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	db, err := sqlite.Open(ctx, path, sqlite.SyncNormal, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestSeveralHandlesOpenANewFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "it's a 100% new?.db")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() { open(t, path) })
	}
	wg.Wait()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file has another name: %v", err)
	}
	db := open(t, path)
	var mode string
	if err := db.QueryRow(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v; want wal", mode, err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// Read-modify-write through two handles loses no update: the lock is taken when
// the transaction begins.
func TestWritesOfTwoHandlesAreSerial(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.db")
	handles := []*sqlite.DB{open(t, path), open(t, path)}
	insert(t, handles[0], 0)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			err := handles[i%2].Write(t.Context(), func(tx *sql.Tx) error {
				var v int
				if err := tx.QueryRow("SELECT v FROM n").Scan(&v); err != nil {
					return err
				}
				_, err := tx.Exec("UPDATE n SET v = ?", v+1)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := value(t, handles[1]); got != 40 {
		t.Errorf("got %d increments, want 40", got)
	}
}

// A transaction keeps other writers out from its start, and they wait as long
// as their context lets them.
func TestWriterWaitsUntilItsContextEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.db")
	one, other := open(t, path), open(t, path)
	err := one.Write(t.Context(), func(*sql.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		err := other.Write(ctx, func(*sql.Tx) error {
			t.Error("two write transactions were open at once")
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A writer gets its turns next to another that writes without pause and lets go
// of the lock for moments only.
func TestWriterGetsTurnsNextToAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.db")
	busy, other := open(t, path), open(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for ctx.Err() == nil {
			err := busy.Write(t.Context(), func(*sql.Tx) error {
				time.Sleep(10 * time.Millisecond)
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 10 {
		insert(t, other, i)
	}
}

func TestWriteRollsBack(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "n.db"))
	insert(t, db, 1)
	errNo := errors.New("no")
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE n SET v = 2")
		return errors.Join(errNo, err)
	})
	if !errors.Is(err, errNo) {
		t.Errorf("got %v, want %v", err, errNo)
	}
	if got := value(t, db); got != 1 {
		t.Errorf("got %d after a rollback, want 1", got)
	}
}

func TestOpenReportsWhy(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no such folder", "n.db")
	if db, err := sqlite.Open(t.Context(), missing, sqlite.SyncFull, schema); err == nil {
		_ = db.Close()
		t.Error("a file in a folder that is not there opened")
	}
}

func insert(t *testing.T, db *sqlite.DB, v int) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO n VALUES (?)", v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, db *sqlite.DB) (v int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), "SELECT v FROM n").Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
