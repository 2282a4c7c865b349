package cart

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// heardFor is how long a peer that has asked for changes counts as there.
const heardFor = 5 * pullEvery

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

// roster knows who of the peers is there and who answers. It may be used by
// many goroutines at once.
type roster struct {
	self    string // the store of this replica
	visible Peers
	log     *slog.Logger

	mu     sync.Mutex
	silent map[string]error   // by store: why it did not answer last
	heard  map[string]contact // by store: has asked for changes lately
}

// contact is a peer as it has shown itself.
type contact struct {
	url string
	at  time.Time
}

func newRoster(self string, visible Peers, log *slog.Logger) *roster {
	return &roster{self: self, visible: visible, log: log, silent: map[string]error{}, heard: map[string]contact{}}
}

// heardFrom notes that the peer with that store is there, so that changes are
// pushed to it from now on: to the URL that it gave, if it gave one, for it
// knows its address before the registry does.
func (r *roster) heardFrom(store, url string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.silent, store)
	if url != "" && store != "" && store != r.self {
		r.heard[store] = contact{url, time.Now()}
	}
}

// nameless returns the visible peers whose store is not known.
func (r *roster) nameless() []Peer {
	return slices.DeleteFunc(slices.Clone(r.visible()), func(p Peer) bool { return p.Store != "" })
}

// known returns the peers whose store is known that are visible or were heard
// lately, at the URL they were heard from.
func (r *roster) known() []Peer {
	peers := slices.DeleteFunc(slices.Clone(r.visible()), func(p Peer) bool { return p.Store == "" })
	r.mu.Lock()
	defer r.mu.Unlock()
	for store, c := range r.heard {
		i := slices.IndexFunc(peers, func(p Peer) bool { return p.Store == store })
		switch {
		case time.Since(c.at) > heardFor:
			delete(r.heard, store)
		case i < 0:
			peers = append(peers, Peer{store, c.url})
		default:
			peers[i].URL = c.url
		}
	}
	return peers
}

// answering returns the known peers that answered when last asked. silence
// joins why the others did not.
func (r *roster) answering() (peers []Peer, silence error) {
	known := r.known()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range known {
		if why := r.silent[p.Store]; why != nil {
			silence = errors.Join(silence, fmt.Errorf("cart: %s is silent: %w", p.URL, why))
			continue
		}
		peers = append(peers, p)
	}
	return peers, silence
}

// ask puts a question to all peers at once and notes who answered. The error
// joins those of the peers.
func (r *roster) ask(peers []Peer, question func(Peer) error) error {
	errs := make([]error, len(peers))
	start := time.Now()
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			errs[i] = question(p)
			r.note(p, start, errs[i])
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// note remembers whether p answered what it was asked at start, and logs when
// that changes. A failure says nothing about a peer that was heard since: it
// has died and come back.
func (r *roster) note(p Peer, start time.Time, err error) {
	was, is := r.mark(p, start, err)
	switch {
	case is && !was:
		r.log.Warn("replica does not answer", "peer", p.URL, "error", err)
	case was && !is:
		r.log.Info("replica answers again", "peer", p.URL)
	}
}

// mark sets whether p is silent and returns what it was and what it is.
func (r *roster) mark(p Peer, start time.Time, err error) (was, is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was = r.silent[p.Store] != nil
	switch {
	case err == nil:
		delete(r.silent, p.Store)
	case r.heard[p.Store].at.Before(start):
		r.silent[p.Store] = err
	}
	return was, r.silent[p.Store] != nil
}
