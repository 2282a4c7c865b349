package cache

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// Defaults of [Settings].
const (
	DefaultMaxBytes      = 64 << 20
	DefaultMaxEntryBytes = 1 << 20
	DefaultValidate      = 5 * time.Second
	DefaultName          = "gabion"
)

// Settings say what is stored. The zero Settings are those of a private cache; a
// zero field stands for its default.
type Settings struct {
	// Shared makes it a shared cache in the sense of RFC 9111.
	Shared bool
	// Heuristic lets responses that say nothing of their freshness be used for
	// a tenth of the time since they were last modified, and at most a day.
	Heuristic bool
	// MaxBytes is the most that all entries take together: bodies, header and
	// an estimate of what else they need. Default 64 MiB.
	MaxBytes int64
	// MaxEntryBytes is the most that the body of an entry may have. Default
	// 1 MiB.
	MaxEntryBytes int64
	// Vary names header fields of requests that tell responses apart even where
	// the responses do not say so, beside Authorization and Cookie.
	Vary []string
	// Validate bounds a validation in the background, of which no caller waits
	// for the end. Default 5 s.
	Validate time.Duration
	// Name is what the cache calls itself in Cache-Status, a token. Default
	// gabion.
	Name string
}

func (s Settings) withDefaults() Settings {
	if s.MaxBytes == 0 {
		s.MaxBytes = DefaultMaxBytes
	}
	if s.MaxEntryBytes == 0 {
		s.MaxEntryBytes = min(DefaultMaxEntryBytes, s.MaxBytes)
	}
	if s.Validate == 0 {
		s.Validate = DefaultValidate
	}
	if s.Name == "" {
		s.Name = DefaultName
	}
	return s
}

// validate reports every setting that makes no sense, joined.
func (s Settings) validate() error {
	var errs []error
	if s.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("cache: MaxBytes is %d, must not be negative", s.MaxBytes))
	}
	if s.MaxEntryBytes < 0 || s.MaxBytes > 0 && s.MaxEntryBytes > s.MaxBytes || s.MaxEntryBytes > 1<<30 {
		errs = append(errs, fmt.Errorf("cache: MaxEntryBytes is %d, want 0 to MaxBytes, and 1 GiB at most", s.MaxEntryBytes))
	}
	if s.Validate < 0 {
		errs = append(errs, fmt.Errorf("cache: Validate is %v, must not be negative", s.Validate))
	}
	if strings.ContainsFunc(s.Name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	}) {
		errs = append(errs, fmt.Errorf("cache: Name is %.40q, want letters, digits, '-', '_' and '.'", s.Name))
	}
	return errors.Join(errs...)
}

// Stats count what a [Cache] has done. What was forwarded is neither hit nor
// validated.
type Stats struct {
	// Hits is how many requests were answered from the store, Stale how many of
	// them with a response that was no longer fresh.
	Hits, Stale uint64
	// Forwarded is how many requests went to the server for a whole response.
	Forwarded uint64
	// Validated is how many stored responses a server has confirmed.
	Validated uint64
	// Bytes is what the entries take now.
	Bytes uint64
}

// A Cache stores responses. It is safe for concurrent use, may be layered over
// several RoundTrippers, and has no goroutine of its own. It is a
// [prometheus.Collector] of its [Stats].
type Cache struct {
	settings Settings
	always   []string // header fields that always tell responses apart
	items    *otter.Cache[key, *item]
	metrics  descs

	mu         sync.Mutex // held while a resource is changed
	generation uint64

	fresh, stale, forwarded, validated atomic.Uint64 // fresh and stale are hits
}

// New returns an empty cache. The error joins everything that is wrong with s.
func New(s Settings) (*Cache, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	c := &Cache{settings: s.withDefaults()}
	c.metrics = describe(c.settings.Name)
	for _, name := range s.Vary {
		c.always = append(c.always, http.CanonicalHeaderKey(name))
	}
	slices.Sort(c.always)
	var err error
	c.items, err = otter.New(&otter.Options[key, *item]{
		MaximumWeight: uint64(c.settings.MaxBytes),
		Weigher:       func(_ key, i *item) uint32 { return i.weight },
		Executor:      func(f func()) { f() }, // so that no goroutine is left
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return c, nil
}

// Stats returns what c has done so far.
func (c *Cache) Stats() Stats {
	s := Stats{
		Stale: c.stale.Load(), Forwarded: c.forwarded.Load(), Validated: c.validated.Load(),
		Bytes: c.items.WeightedSize(),
	}
	s.Hits = s.Stale + c.fresh.Load()
	return s
}

// Clear forgets everything.
func (c *Cache) Clear() { c.items.InvalidateAll() }

// Layer is [Cache.Transport] in the shape that transport.WithCache takes.
func (c *Cache) Layer(next http.RoundTripper) http.RoundTripper { return c.Transport(next) }
