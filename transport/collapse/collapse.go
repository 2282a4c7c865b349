package collapse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// Defaults of [Settings].
const (
	DefaultWindow      = 2 * time.Millisecond
	DefaultMax         = 100
	DefaultMaxInFlight = 8
)

// Settings say how lookups are gathered. A zero field stands for its default. In
// JSON durations are strings, and an unknown name is an error.
type Settings struct {
	// Window is how long a batch gathers keys after its first. Default 2 ms.
	Window time.Duration
	// Max is the most keys of a batch; when it has them, it does not wait for
	// the window's end. Default 100.
	Max int
	// MaxInFlight is how many batches are asked for at once; the others wait,
	// the first come first. Default 8.
	MaxInFlight int
}

type settingsJSON struct {
	Window      duration.Duration `json:"window,omitzero"`
	Max         int               `json:"max,omitzero"`
	MaxInFlight int               `json:"max_in_flight,omitzero"`
}

// MarshalJSON writes the fields that are set.
func (s Settings) MarshalJSON() ([]byte, error) {
	return json.Marshal(settingsJSON{duration.Duration(s.Window), s.Max, s.MaxInFlight})
}

// UnmarshalJSON reads what the object names and leaves the rest of s as it was.
func (s *Settings) UnmarshalJSON(data []byte) error {
	j := settingsJSON{duration.Duration(s.Window), s.Max, s.MaxInFlight}
	if err := strictjson.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("collapse: settings: %w", err)
	}
	*s = Settings{Window: time.Duration(j.Window), Max: j.Max, MaxInFlight: j.MaxInFlight}
	return nil
}

// Validate reports every setting that makes no sense, joined.
func (s Settings) Validate() error {
	var errs []error
	if s.Window < 0 {
		errs = append(errs, fmt.Errorf("collapse: Window is %v, must not be negative", s.Window))
	}
	if s.Max < 0 {
		errs = append(errs, fmt.Errorf("collapse: Max is %d, must not be negative", s.Max))
	}
	if s.MaxInFlight < 0 {
		errs = append(errs, fmt.Errorf("collapse: MaxInFlight is %d, must not be negative", s.MaxInFlight))
	}
	return errors.Join(errs...)
}

func (s Settings) withDefaults() Settings {
	if s.Window == 0 {
		s.Window = DefaultWindow
	}
	if s.Max == 0 {
		s.Max = DefaultMax
	}
	if s.MaxInFlight == 0 {
		s.MaxInFlight = DefaultMaxInFlight
	}
	return s
}

// A Result is what a batch brought for one key: its value, or why it has none.
type Result[V any] struct {
	Value V
	Err   error
}

// A Batch looks up keys, which are all different and at least one. It returns a
// result for each by its key; an error means that the batch as a whole failed
// and stands for every key. ctx ends when all who wait have given up and with
// [Collapser.Close]; the batch has to end then too. keys is the batch's own to
// keep and change. The map must not be changed after the return.
type Batch[K comparable, V any] func(ctx context.Context, keys []K) (map[K]Result[V], error)

// A Collapser gathers lookups. It is safe for concurrent use and has to be
// closed at the end.
type Collapser[K comparable, V any] struct {
	fetch    Batch[K, V]
	settings Settings

	mu      sync.Mutex
	open    *gathering[K, V]   // gathers keys; nil if nobody waits
	queue   []*gathering[K, V] // full or out of time, and waiting for a place
	running map[*gathering[K, V]]struct{}
	closed  bool
	wg      sync.WaitGroup
}

// New returns a Collapser that asks fetch.
func New[K comparable, V any](fetch Batch[K, V], s Settings) (*Collapser[K, V], error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if fetch == nil {
		return nil, errors.New("collapse: no batch function")
	}
	return &Collapser[K, V]{
		fetch: fetch, settings: s.withDefaults(), running: map[*gathering[K, V]]struct{}{},
	}, nil
}

// Do returns the value of key, which a batch fetches together with those that
// others ask for.
func (c *Collapser[K, V]) Do(ctx context.Context, key K) (V, error) {
	var none V
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	g, err := c.join(ctx, key)
	if err != nil {
		return none, err
	}
	select {
	case <-g.done:
		return g.result(key)
	case <-ctx.Done():
		c.leave(g, key)
		return none, context.Cause(ctx)
	}
}

// join adds a caller to the batch that gathers.
func (c *Collapser[K, V]) join(ctx context.Context, key K) (*gathering[K, V], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	g := c.open
	if g == nil {
		g = newGathering[K, V]()
		g.timer = time.AfterFunc(c.settings.Window, func() { c.elapsed(g) })
		c.open = g
	}
	g.add(ctx, key)
	if len(g.waiting) >= c.settings.Max {
		c.seal(g)
	}
	return g, nil
}

// elapsed ends the window of g.
func (c *Collapser[K, V]) elapsed(g *gathering[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == g {
		c.seal(g)
	}
}

// seal lets nobody join g any more and begins it when there is a place. The lock
// must be held.
func (c *Collapser[K, V]) seal(g *gathering[K, V]) {
	g.timer.Stop()
	c.open = nil
	c.queue = append(c.queue, g)
	c.next()
}

// next begins batches while there are places. The lock must be held.
func (c *Collapser[K, V]) next() {
	for len(c.queue) > 0 && len(c.running) < c.settings.MaxInFlight {
		g := c.queue[0]
		c.queue = c.queue[1:]
		keys := g.begin()
		c.running[g] = struct{}{}
		c.wg.Go(func() { c.run(g, keys) })
	}
}

// run asks for the keys of g.
func (c *Collapser[K, V]) run(g *gathering[K, V], keys []K) {
	defer func() {
		g.cancel()
		c.mu.Lock()
		delete(c.running, g)
		c.next()
		c.mu.Unlock()
	}()
	g.ask(c.fetch, keys)
}

// leave takes out a caller of g that has given up. A batch that nobody waits for
// is ended, or never begins.
func (c *Collapser[K, V]) leave(g *gathering[K, V], key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !g.remove(key) {
		return
	}
	if g.cancel != nil {
		g.cancel()
		return
	}
	g.timer.Stop()
	if c.open == g {
		c.open = nil
	}
	if i := slices.Index(c.queue, g); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
}

// Close fails all who wait with [ErrClosed], ends the batches that are under way
// and waits for them. A second Close does nothing.
func (c *Collapser[K, V]) Close() error {
	c.mu.Lock()
	c.closed = true
	waiting := c.queue
	c.queue = nil
	if g := c.open; g != nil {
		c.open = nil
		g.timer.Stop()
		waiting = append(waiting, g)
	}
	for _, g := range waiting {
		g.fail(ErrClosed)
	}
	for g := range c.running {
		g.cancelWith(ErrClosed)
	}
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}
