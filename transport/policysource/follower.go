package policysource

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// A Target is what gets the policies: a [transport.Client].
type Target interface {
	ValidatePolicies(p transport.Policies) error
	SetPoliciesFrom(source string, p transport.Policies) error
}

// A Follower gives what a source says to a target. Make it with [NewFollower].
type Follower struct {
	source   Source
	target   Target
	log      *slog.Logger
	first    chan struct{} // closed when the source has said anything
	answered sync.Once

	mu      sync.Mutex
	changed time.Time
	err     error // why the source cannot be read
	docs    map[string]*document
}

// document is what became of a Document.
type document struct {
	data     []byte
	good     transport.Policies // when it was last good
	accepted time.Time          // when that was; zero if never
	err      error              // why data was refused
	refused  time.Time
}

// Status is what a [Follower] tells of its source.
type Status struct {
	// Source is its name.
	Source string
	// Changed is when documents were last read that differed; zero if never.
	Changed time.Time
	// Err is why the source cannot be read at present, nil if it can.
	Err error
	// Documents are those that there are, by name.
	Documents []DocumentStatus
}

// DocumentStatus tells of one document.
type DocumentStatus struct {
	Name string
	// Accepted is when what is in force of it was read; zero if nothing is.
	Accepted time.Time
	// Refused is when what is in it now was refused, and Err why; zero and nil
	// if it is in force.
	Refused time.Time
	Err     error
}

// NewFollower returns a follower that does nothing until [Follower.Run]. A nil
// log discards.
func NewFollower(s Source, t Target, log *slog.Logger) *Follower {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Follower{source: s, target: t, log: log, first: make(chan struct{}), docs: map[string]*document{}}
}

// Run follows the source until ctx ends, or what the source is built on does, and
// returns nil. What was in force then stays so. It must be called once.
func (f *Follower) Run(ctx context.Context) error {
	for docs, err := range f.source.Watch(ctx) {
		if err != nil {
			f.failed(err)
		} else {
			f.take(docs)
		}
		f.answered.Do(func() { close(f.first) })
	}
	return nil
}

// First returns a channel that is closed when the source has been read once, with
// or without success: before that, calls go by what the program has set.
func (f *Follower) First() <-chan struct{} { return f.first }

// Status returns how the source is doing.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{Source: f.source.String(), Changed: f.changed, Err: f.err}
	for _, name := range slices.Sorted(maps.Keys(f.docs)) {
		d := f.docs[name]
		s.Documents = append(s.Documents, DocumentStatus{name, d.accepted, d.refused, d.err})
	}
	return s
}

// failed notes that the source cannot be read, and logs it when that begins.
func (f *Follower) failed(err error) {
	f.mu.Lock()
	again := f.err != nil
	f.err = err
	f.mu.Unlock()
	if !again {
		f.log.Warn("policysource: policies cannot be read, the last ones stay in force", "source", f.source.String(), "error", err)
	}
}

// take reads documents and puts in force what is good of them.
func (f *Follower) take(docs []Document) {
	now := time.Now()
	next := make(map[string]*document, len(docs))
	all := transport.Policies{Services: map[string]transport.Policy{}}
	for _, d := range docs {
		one := f.read(d, now)
		next[d.Name] = one
		if !one.accepted.IsZero() {
			lay(&all, d.Scope, one.good)
		}
	}
	f.mu.Lock()
	back := f.err != nil
	f.docs, f.changed, f.err = next, now, nil
	f.mu.Unlock()
	if back {
		f.log.Info("policysource: policies can be read again", "source", f.source.String())
	}
	if err := f.target.SetPoliciesFrom(f.source.String(), all); err != nil {
		f.log.Error("policysource: policies not taken over", "source", f.source.String(), "error", err)
	}
}

// read returns what becomes of d, whose predecessor is known by its name.
func (f *Follower) read(d Document, now time.Time) *document {
	f.mu.Lock()
	before := f.docs[d.Name]
	f.mu.Unlock()
	if before == nil {
		before = &document{}
	} else if bytes.Equal(before.data, d.Data) {
		return before
	}
	p, err := parse(d)
	if err == nil {
		err = f.target.ValidatePolicies(p)
	}
	if err != nil {
		f.log.Warn("policysource: document refused, what it said last stays in force",
			"source", f.source.String(), "document", d.Name, "error", err)
		return &document{data: d.Data, good: before.good, accepted: before.accepted, err: err, refused: now}
	}
	return &document{data: d.Data, good: p, accepted: now}
}

// parse reads a document.
func parse(d Document) (transport.Policies, error) {
	if d.Scope == "" {
		return transport.ParsePolicies(d.Data)
	}
	p, err := transport.ParsePolicy(d.Data)
	switch {
	case err != nil:
		return transport.Policies{}, fmt.Errorf("policysource: %s: %w", d.Name, err)
	case d.Scope == ScopeDefault:
		return transport.Policies{Default: p}, nil
	default:
		return transport.Policies{Services: map[string]transport.Policy{d.Scope: p}}, nil
	}
}

// lay lays over all what a document of this scope says.
func lay(all *transport.Policies, scope string, p transport.Policies) {
	if scope == "" || scope == ScopeDefault {
		all.Default = p.Default
	}
	maps.Copy(all.Services, p.Services)
}
