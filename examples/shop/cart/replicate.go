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
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	pullEvery   = 300 * time.Millisecond // between two readings of the peers' logs
	pullTimeout = time.Second            // one request for changes
	pushTimeout = 500 * time.Millisecond // what a change waits for its peers, at most
	heardFor    = 5 * pullEvery          // how long a peer that has asked is there
	pullLimit   = 200                    // carts in one answer
	maxAnswer   = 32 << 20               // bytes of one answer

	// firstMeeting is how long a new store waits at its start for peers to
	// show; a store that has met some before waits reunion long.
	firstMeeting = time.Second
	reunion      = 3 * time.Second
)

// Peer is another replica.
type Peer struct {
	// Store is the ID of its store, empty where the registry does not carry
	// it; such a peer is asked, and may turn out to be this very replica.
	Store string
	URL   string // where it answers, without a path
}

// Peers returns the replicas that are visible now, without this one where it
// can be told. It must answer at once.
type Peers func() []Peer

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
	peers  Peers
	self   func() string // where this replica answers, empty if not known
	client *http.Client
	log    *slog.Logger

	mu     sync.Mutex
	silent map[string]bool    // stores of peers that did not answer last
	heard  map[string]contact // by store: who has asked for changes lately
}

// contact is a peer as it has shown itself.
type contact struct {
	url string
	at  time.Time
}

// NewReplicator returns a Replicator that talks to peers through client. self
// says where this replica answers, and may say "" for as long as it is not
// known; peers are told so that they need not wait for the registry.
func NewReplicator(store *Store, clock *Clock, peers Peers, self func() string, client *http.Client, log *slog.Logger) *Replicator {
	return &Replicator{
		store: store, clock: clock, peers: peers, self: self, client: client, log: log,
		silent: map[string]bool{}, heard: map[string]contact{},
	}
}

// Run reads the peers' logs again and again until ctx ends, and returns nil.
func (r *Replicator) Run(ctx context.Context) error {
	for {
		pause := time.NewTimer(pullEvery + rand.N(pullEvery/10))
		select {
		case <-pause.C:
			_ = r.Sync(ctx) // heard logs what changes; the next round tries again
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// Sync reads the log of every visible peer to its end. The error joins those of
// the peers that could not be read; all others have been.
func (r *Replicator) Sync(ctx context.Context) error {
	r.meet(ctx)
	return r.each(r.known(), func(p Peer) error { return r.pull(ctx, p) })
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
	over := time.After(patience)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := r.Sync(ctx) // not cut short by over: who answers is waited for
		if err == nil && len(r.known()) > 0 {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			if err == nil && met {
				err = errors.New("cart: no other replica is visible")
			}
			return err
		}
	}
}

// Push sends c to the peers that answered last and waits for them up to 500 ms.
// It goes on when ctx ends: the change has happened.
func (r *Replicator) Push(ctx context.Context, c Cart) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushTimeout)
	defer cancel()
	body, err := json.Marshal(pushJSON{r.store.ID(), []Cart{c}})
	if err != nil {
		r.log.ErrorContext(ctx, "cart cannot be sent", "cart", c.ID, "error", err)
		return
	}
	_ = r.each(r.answering(), func(p Peer) error {
		return r.call(ctx, http.MethodPost, p, "/internal/carts", body, nil)
	})
}

// Fetch takes in what the peers that answered last know of a cart, and waits
// for them up to 500 ms.
func (r *Replicator) Fetch(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	_ = r.each(r.answering(), func(p Peer) error {
		var c Cart
		err := r.call(ctx, http.MethodGet, p, "/internal/carts/"+url.PathEscape(id), nil, &c)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err == nil && c.ID == id {
			err = r.Merge([]Cart{c})
		}
		return err
	})
}

// Merge takes in carts that a peer has sent.
func (r *Replicator) Merge(carts []Cart) error {
	r.see(carts)
	return r.store.Merge(carts)
}

// Heard notes that the peer with that store is there, so that changes are
// pushed to it from now on: to the URL that it gave, if it gave one, for it
// knows its address before the registry does.
func (r *Replicator) Heard(store, url string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.silent, store)
	if url != "" && store != "" && store != r.store.ID() {
		r.heard[store] = contact{url, time.Now()}
	}
}

// meet asks the visible peers that have no name for it.
func (r *Replicator) meet(ctx context.Context) {
	var wg sync.WaitGroup
	for _, p := range r.peers() {
		if p.Store != "" {
			continue
		}
		wg.Go(func() {
			if answer, err := r.changes(ctx, p, math.MaxInt64); err == nil {
				r.Heard(answer.Store, p.URL)
			}
		})
	}
	wg.Wait()
}

// known returns the peers with a name that are visible or were heard lately, as they have
// shown themselves last.
func (r *Replicator) known() []Peer {
	peers := slices.DeleteFunc(slices.Clone(r.peers()), func(p Peer) bool { return p.Store == "" })
	r.mu.Lock()
	defer r.mu.Unlock()
	for store, c := range r.heard {
		if time.Since(c.at) > heardFor {
			delete(r.heard, store)
			continue
		}
		i := slices.IndexFunc(peers, func(p Peer) bool { return p.Store == store })
		if i < 0 {
			peers = append(peers, Peer{store, c.url})
		} else {
			peers[i].URL = c.url
		}
	}
	return peers
}

// see moves the clock past the carts' stamps, before anybody can read them.
func (r *Replicator) see(carts []Cart) {
	for _, c := range carts {
		r.clock.See(c.Latest())
	}
}

// answering returns the peers that answered when last asked.
func (r *Replicator) answering() []Peer {
	known := r.known()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(known, func(p Peer) bool { return r.silent[p.Store] })
}

// each calls ask for all peers at once and notes who answered.
func (r *Replicator) each(peers []Peer, ask func(Peer) error) error {
	errs := make([]error, len(peers))
	start := time.Now()
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			errs[i] = ask(p)
			r.note(p, start, errs[i])
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// note remembers whether p answered what it was asked at start, and logs when
// that changes. A failure says nothing about a peer that was heard since: it
// has died and come back.
func (r *Replicator) note(p Peer, start time.Time, err error) {
	r.mu.Lock()
	was := r.silent[p.Store]
	switch {
	case err == nil:
		delete(r.silent, p.Store)
	case r.heard[p.Store].at.Before(start):
		r.silent[p.Store] = true
	}
	is := r.silent[p.Store]
	r.mu.Unlock()
	switch {
	case is && !was:
		r.log.Warn("replica does not answer", "peer", p.URL, "error", err)
	case was && !is:
		r.log.Info("replica answers again", "peer", p.URL)
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
		return fmt.Errorf("cart: ask peer: %s", resp.Status)
	case out == nil:
		return nil
	}
	return wrap("read answer of peer", json.Unmarshal(answer, out))
}
