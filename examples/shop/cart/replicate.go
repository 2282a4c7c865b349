package cart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pullEvery   = 300 * time.Millisecond // between two readings of the peers' logs
	pullTimeout = time.Second            // one request for changes
	pushTimeout = 500 * time.Millisecond // what a change waits for its peers, at most
	pullLimit   = 200                    // carts in one answer
	maxAnswer   = 32 << 20               // bytes of one answer

	// firstMeeting is how long a new store waits at its start for peers to
	// show; a store that has met some before waits reunion long.
	firstMeeting = time.Second
	reunion      = 3 * time.Second
)

// changesJSON is the answer to "what has changed since".
type changesJSON struct {
	Store string `json:"store"`
	Next  uint64 `json:"next"`
	More  bool   `json:"more"`
	Carts []Cart `json:"carts"`
}

// pushJSON is what a replica sends after a change.
type pushJSON struct {
	From  string `json:"from"`
	Carts []Cart `json:"carts"`
}

// Replicator keeps this store and those of the peers alike. Its methods may be
// called by many goroutines at once.
type Replicator struct {
	store  *Store
	clock  *Clock
	roster *roster
	self   func() string // where this replica answers, empty if not known
	client *http.Client
	log    *slog.Logger
	rand   rand.Source // nil for the runtime's

	// apart is until when a replica that started without the others reckons
	// that they have started without it, too; nil once it has read them.
	apart atomic.Pointer[time.Time]
}

// NewReplicator returns a Replicator that talks to peers through client. self
// says where this replica answers, and may say "" for as long as it is not
// known; peers are told so that they need not wait for the registry.
func NewReplicator(store *Store, clock *Clock, peers Peers, self func() string, client *http.Client, log *slog.Logger) *Replicator {
	return &Replicator{
		store: store, clock: clock, roster: newRoster(store.ID(), peers, log),
		self: self, client: client, log: log,
	}
}

// Run reads the peers' logs again and again until ctx ends, and returns nil.
func (r *Replicator) Run(ctx context.Context) error {
	for {
		pause := time.NewTimer(pullEvery + r.upTo(pullEvery/10))
		select {
		case <-pause.C:
			_ = r.Sync(ctx) // the roster logs it; the next round tries again
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// upTo returns a duration from 0 to d, so that replicas do not read in step.
func (r *Replicator) upTo(d time.Duration) time.Duration {
	if r.rand == nil {
		return rand.N(d)
	}
	return time.Duration(rand.New(r.rand).Int64N(int64(d)))
}

// Sync reads the log of every visible peer to its end. The error joins those of
// the peers that could not be read; all others have been.
func (r *Replicator) Sync(ctx context.Context) error {
	r.meet(ctx)
	peers := r.roster.known()
	err := r.roster.ask(peers, func(p Peer) error { return r.pull(ctx, p) })
	if err == nil && len(peers) > 0 {
		r.apart.Store(nil)
	}
	return err
}

// CatchUp is [Replicator.Sync] at the start, when peers may not be visible yet:
// it tries until all that are visible have been read, for 1 s with a new store
// and for 3 s with one that has met peers before. An error says why the
// replica starts without them.
func (r *Replicator) CatchUp(ctx context.Context) error {
	met, err := r.store.MetPeers()
	if err != nil {
		return err
	}
	patience := firstMeeting
	if met {
		patience = reunion
	}
	over := time.Now().Add(patience)
	for {
		err := r.Sync(ctx) // not cut short: who answers is waited for
		if err == nil && len(r.roster.known()) > 0 {
			return nil
		}
		if err == nil && met {
			err = errors.New("cart: no other replica is visible")
		}
		if now := time.Now(); !now.Before(over) {
			until := now.Add(reunion)
			if met {
				r.apart.Store(&until)
			}
			return err
		}
		pause := time.NewTimer(50 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// msgAhead is logged for each change that Push gave up on for a while.
const msgAhead = "a replica that may be up does not have a change yet"

// Push sends c to the peers that answered last and waits for them up to 500 ms.
// It goes on when ctx ends: the change has happened.
//
// A peer that is down reads the change before it serves again. One that is late
// may serve without it, and so take an order without it; that is logged at
// debug level.
func (r *Replicator) Push(ctx context.Context, c Cart) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushTimeout)
	defer cancel()
	body, err := json.Marshal(pushJSON{r.store.ID(), []Cart{c}})
	if err != nil {
		r.log.ErrorContext(ctx, "cart cannot be sent", "cart", c.ID, "error", err)
		return
	}
	path := "/internal/carts?id=" + url.QueryEscape(c.ID) // for the access log
	answering, silence := r.roster.answering()
	err = errors.Join(silence, r.roster.ask(answering, func(p Peer) error {
		return r.call(ctx, http.MethodPost, p, path, body, nil)
	}))
	if late(err) {
		r.log.DebugContext(ctx, msgAhead, "cart", c.ID, "error", err)
	}
}

// late reports whether err is that of a peer that may be up: it did not answer
// in time, or answered that it could not.
func late(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errStatus)
}

var (
	// errSilent: a peer that is known did not answer last, and was not asked.
	errSilent = errors.New("cart: a replica is silent")
	// errApart: this replica has started just now, and not found the others.
	errApart = errors.New("cart: the other replicas have not been found yet")
	// errStatus: a peer has answered with an error.
	errStatus = errors.New("cart: ask peer")
)

// Fetch takes in what the peers that answered last know of a cart, and waits
// for them up to 500 ms. The error says which of all known peers were not asked
// or did not answer. It goes on when ctx ends: a caller that leaves must not
// look like a peer that does not answer.
func (r *Replicator) Fetch(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushTimeout)
	defer cancel()
	answering, silence := r.roster.answering()
	var missing error
	if until := r.apart.Load(); until != nil && time.Now().Before(*until) {
		missing = errApart
	}
	if silence != nil {
		missing = errSilent
	}
	return errors.Join(missing, r.roster.ask(answering, func(p Peer) error {
		var c Cart
		err := r.call(ctx, http.MethodGet, p, "/internal/carts/"+url.PathEscape(id), nil, &c)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err == nil && c.ID == id {
			err = r.Merge([]Cart{c})
		}
		return err
	}))
}

// Merge takes in carts that a peer has sent.
func (r *Replicator) Merge(carts []Cart) error {
	r.see(carts)
	return r.store.Merge(carts)
}

// Heard notes that a peer is there; see [roster.heardFrom].
func (r *Replicator) Heard(store, url string) { r.roster.heardFrom(store, url) }

// meet asks the visible peers that have no name for it.
func (r *Replicator) meet(ctx context.Context) {
	var wg sync.WaitGroup
	for _, p := range r.roster.nameless() {
		wg.Go(func() {
			if answer, err := r.changes(ctx, p, math.MaxInt64); err == nil {
				r.Heard(answer.Store, p.URL)
			}
		})
	}
	wg.Wait()
}

// see moves the clock past the carts' stamps, before anybody can read them.
func (r *Replicator) see(carts []Cart) {
	for _, c := range carts {
		r.clock.See(c.Latest())
	}
}

// pull reads p's log from where it was last left to its end.
func (r *Replicator) pull(ctx context.Context, p Peer) error {
	for {
		after, err := r.store.Cursor(p.Store)
		if err != nil {
			return err
		}
		changes, err := r.changes(ctx, p, after)
		if err != nil {
			return err
		}
		if changes.Next > after {
			r.see(changes.Carts)
			if err := r.store.MergeFrom(p.Store, changes.Next, changes.Carts); err != nil {
				return err
			}
		}
		if !changes.More {
			return nil
		}
	}
}

// changes asks p for what has changed after a sequence of its log.
func (r *Replicator) changes(ctx context.Context, p Peer, after uint64) (changesJSON, error) {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	query := url.Values{"after": {strconv.FormatUint(after, 10)}, "from": {r.store.ID()}, "url": {r.self()}}
	var changes changesJSON
	if err := r.call(ctx, http.MethodGet, p, "/internal/changes?"+query.Encode(), nil, &changes); err != nil {
		return changesJSON{}, err
	}
	if p.Store != "" && changes.Store != p.Store { // somebody else answers there now
		return changesJSON{}, fmt.Errorf("cart: %s is store %.32q, want %q", p.URL, changes.Store, p.Store)
	}
	return changes, nil
}

// call sends one request to p and decodes the answer into out, unless out is
// nil. A 404 is [ErrNotFound].
func (r *Replicator) call(ctx context.Context, method string, p Peer, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, p.URL+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cart: ask peer: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("cart: ask peer: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("cart: ask peer: %w", err)
	case resp.StatusCode == http.StatusNotFound:
		return ErrNotFound
	case resp.StatusCode > 299:
		return fmt.Errorf("%w: %s", errStatus, resp.Status)
	case out == nil:
		return nil
	}
	return wrap("read answer of peer", json.Unmarshal(answer, out))
}
