package cart

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// The buckets of a store.
var (
	bucketCarts   = []byte("carts")   // cart ID -> state
	bucketChanges = []byte("changes") // sequence -> ID of the cart changed then
	bucketLatest  = []byte("latest")  // cart ID -> its only sequence in changes
	bucketCursors = []byte("cursors") // ID of a peer's store -> sequence read
	bucketMeta    = []byte("meta")

	keyStore = []byte("store") // the ID of this store
	keyClock = []byte("clock") // the latest stamp in any cart
)

const (
	// lockTimeout is how long Open waits for a predecessor to leave the file.
	lockTimeout = 5 * time.Second
	// batchDelay is how long a change waits for others that come with it and
	// can share its sync to the disk.
	batchDelay = time.Millisecond
)

// Store keeps carts in one bbolt file, which it holds for itself alone. What a
// method has returned from is on the disk. Methods may be called by many
// goroutines at once.
type Store struct {
	db *bbolt.DB
	id string
}

// OpenStore opens the file at path, made if it is missing, and then with a random
// ID. It waits up to 5 s for another process that holds it.
func OpenStore(path string) (*Store, error) { return OpenStoreAs(path, rand.Text()) }

// OpenStoreAs is [OpenStore] for those who choose the ID of a new store. No two
// stores may have the same.
func OpenStoreAs(path, id string) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("cart: open %q: %w", path, err)
	}
	db.MaxBatchDelay = batchDelay
	s := &Store{db: db}
	if err := db.Update(func(tx *bbolt.Tx) error { return s.prepare(tx, id) }); err != nil {
		db.Close()
		return nil, fmt.Errorf("cart: prepare %q: %w", path, err)
	}
	return s, nil
}

func (s *Store) prepare(tx *bbolt.Tx, id string) error {
	for _, name := range [][]byte{bucketCarts, bucketChanges, bucketLatest, bucketCursors, bucketMeta} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	if meta.Get(keyStore) == nil {
		if err := meta.Put(keyStore, []byte(id)); err != nil {
			return err
		}
	}
	s.id = string(meta.Get(keyStore))
	return nil
}

// ID names this store: random, and the same for as long as the file lives.
func (s *Store) ID() string { return s.id }

// Close waits for what is under way and gives the file free.
func (s *Store) Close() error { return s.db.Close() }

// Latest returns the latest stamp in any cart.
func (s *Store) Latest() (Stamp, error) {
	var at stampJSON
	err := s.db.View(func(tx *bbolt.Tx) error {
		if data := tx.Bucket(bucketMeta).Get(keyClock); data != nil {
			return json.Unmarshal(data, &at)
		}
		return nil
	})
	return Stamp(at), wrap("read clock", err)
}

// Get returns a cart, or [ErrNotFound].
func (s *Store) Get(id string) (Cart, error) {
	var c Cart
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		c, err = get(tx, id)
		return err
	})
	return c, err
}

// Update replaces a cart by what change makes of it, in one transaction with
// the row in the log of changes. found is false, and before holds nothing but
// the ID, for a cart that is not there yet. change may run more than once. If
// it returns an error nothing happens and the error is returned as it is.
func (s *Store) Update(id string, change func(before Cart, found bool) (Cart, error)) (Cart, error) {
	var after Cart
	err := s.db.Batch(func(tx *bbolt.Tx) error {
		before, err := get(tx, id)
		found := err == nil
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		before.ID = id
		if after, err = change(before, found); err != nil {
			return err
		}
		if found && after.Equal(before) {
			return nil
		}
		return put(tx, after)
	})
	return after, err
}

// Merge takes in carts of another replica. Carts that bring nothing new leave
// no trace in the log of changes.
func (s *Store) Merge(carts []Cart) error {
	return wrap("merge", s.db.Batch(func(tx *bbolt.Tx) error { return merge(tx, carts) }))
}

// MergeFrom is [Store.Merge] of what the peer's log said up to sequence next,
// which becomes the new cursor for that peer in the same transaction.
func (s *Store) MergeFrom(peer string, next uint64, carts []Cart) error {
	return wrap("merge", s.db.Batch(func(tx *bbolt.Tx) error {
		if err := merge(tx, carts); err != nil {
			return err
		}
		return tx.Bucket(bucketCursors).Put([]byte(peer), sequence(next))
	}))
}

// Cursor returns how far the log of the store named peer has been read, 0 for
// one never met.
func (s *Store) Cursor(peer string) (uint64, error) {
	var n uint64
	err := s.db.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket(bucketCursors).Get([]byte(peer)); v != nil {
			n = binary.BigEndian.Uint64(v)
		}
		return nil
	})
	return n, wrap("read cursor", err)
}

// MetPeers reports whether another store's log was ever read.
func (s *Store) MetPeers() (met bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		k, _ := tx.Bucket(bucketCursors).Cursor().First()
		met = k != nil
		return nil
	})
	return met, wrap("read cursors", err)
}

// Changes returns up to limit carts that have changed after the given sequence,
// oldest change first, each once and in its present state; the sequence to go
// on from; and whether there is more.
func (s *Store) Changes(after uint64, limit int) (carts []Cart, next uint64, more bool, err error) {
	next = after
	err = s.db.View(func(tx *bbolt.Tx) error {
		cur := tx.Bucket(bucketChanges).Cursor()
		for k, id := cur.Seek(sequence(after + 1)); k != nil; k, id = cur.Next() {
			if len(carts) == limit {
				more = true
				return nil
			}
			c, err := get(tx, string(id))
			if err != nil {
				return err
			}
			carts, next = append(carts, c), binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return carts, next, more, wrap("read changes", err)
}

func get(tx *bbolt.Tx, id string) (Cart, error) {
	data := tx.Bucket(bucketCarts).Get([]byte(id))
	if data == nil {
		return Cart{}, ErrNotFound
	}
	var c Cart
	if err := json.Unmarshal(data, &c); err != nil {
		return Cart{}, fmt.Errorf("cart: read %q: %w", id, err)
	}
	return c, nil
}

func merge(tx *bbolt.Tx, carts []Cart) error {
	for _, theirs := range carts {
		ours, err := get(tx, theirs.ID)
		switch {
		case errors.Is(err, ErrNotFound):
			ours = theirs
		case err != nil:
			return err
		default:
			merged := ours.Merge(theirs)
			if merged.Equal(ours) {
				continue
			}
			ours = merged
		}
		if err := put(tx, ours); err != nil {
			return err
		}
	}
	return nil
}

// put writes c and moves it to the end of the log of changes.
func put(tx *bbolt.Tx, c Cart) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("cart: write %q: %w", c.ID, err)
	}
	if err := tx.Bucket(bucketCarts).Put([]byte(c.ID), data); err != nil {
		return fmt.Errorf("cart: write %q: %w", c.ID, err)
	}
	if err := logChange(tx, []byte(c.ID)); err != nil {
		return fmt.Errorf("cart: log change of %q: %w", c.ID, err)
	}
	return putClock(tx.Bucket(bucketMeta), c.Latest())
}

func logChange(tx *bbolt.Tx, id []byte) error {
	changes, latest := tx.Bucket(bucketChanges), tx.Bucket(bucketLatest)
	if old := latest.Get(id); old != nil {
		if err := changes.Delete(old); err != nil {
			return err
		}
	}
	n, err := changes.NextSequence()
	if err != nil {
		return err
	}
	if err := changes.Put(sequence(n), id); err != nil {
		return err
	}
	return latest.Put(id, sequence(n))
}

func putClock(meta *bbolt.Bucket, at Stamp) error {
	var last stampJSON
	if data := meta.Get(keyClock); data != nil {
		if err := json.Unmarshal(data, &last); err != nil {
			return fmt.Errorf("cart: read clock: %w", err)
		}
	}
	if at.Compare(Stamp(last)) <= 0 {
		return nil
	}
	data, err := json.Marshal(stampJSON(at))
	if err != nil {
		return err
	}
	return meta.Put(keyClock, data)
}

// sequence is n as a key that sorts by n.
func sequence(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func wrap(act string, err error) error {
	if err != nil {
		return fmt.Errorf("cart: %s: %w", act, err)
	}
	return nil
}
