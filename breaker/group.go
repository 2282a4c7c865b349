package breaker

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// A GroupOption sets up a [Group]. The later of two equal options wins.
type GroupOption interface{ applyGroup(*groupConfig) }

type groupOptionFunc func(*groupConfig)

func (f groupOptionFunc) applyGroup(c *groupConfig) { f(c) }

type groupConfig struct {
	options []Option
	idle    time.Duration
	limit   int
}

// WithBreakers sets the options of every breaker of the group. Subscribers hear
// of all of them and tell them by [Event].Name, which is the key.
func WithBreakers(opts ...Option) GroupOption {
	return groupOptionFunc(func(c *groupConfig) { c.options = opts })
}

// WithIdle sets after how long without a Get a breaker is forgotten, within
// half as much again. One that is open, or has a mode set by [Breaker.Force], is
// kept. d must be at least 1 ms. Default 2 minutes.
func WithIdle(d time.Duration) GroupOption {
	return groupOptionFunc(func(c *groupConfig) { c.idle = d })
}

// WithLimit bounds how many breakers there are. A new key beyond it displaces
// one that has not been used lately. n must be at least 1. Default 16384.
func WithLimit(n int) GroupOption {
	return groupOptionFunc(func(c *groupConfig) { c.limit = n })
}

// A Group keeps one [Breaker] for each key, such as an endpoint or a tenant.
// Breakers are made on demand and forgotten when idle. Its methods may be called
// from many goroutines at once. It has no goroutine of its own and needs no
// Close: while it holds breakers, one timer is pending.
type Group struct {
	cfg   *config
	idle  time.Duration
	limit int

	members sync.Map // of string to *member; read without lock

	mu       sync.Mutex
	clock    []*member // all members, in the order of the clock hand
	hand     int
	sweeping bool // a sweep is scheduled
}

// member is a breaker of a group.
type member struct {
	b      *Breaker
	used   atomic.Bool // since the last sweep or pass of the clock hand
	sweeps int         // in a row without use
	place  int         // in Group.clock
}

// NewGroup returns an empty Group. The error joins everything that is wrong.
func NewGroup(opts ...GroupOption) (*Group, error) {
	c := groupConfig{idle: 2 * time.Minute, limit: 1 << 14}
	for _, o := range opts {
		o.applyGroup(&c)
	}
	cfg, err := newConfig(c.options)
	if c.idle < minDuration {
		err = errors.Join(err, fmt.Errorf("breaker: idle time of a group is %v, want at least %v", c.idle, minDuration))
	}
	if c.limit < 1 {
		err = errors.Join(err, fmt.Errorf("breaker: limit of a group is %d, want at least 1", c.limit))
	}
	if err != nil {
		return nil, err
	}
	return &Group{cfg: cfg, idle: c.idle, limit: c.limit}, nil
}

// Get returns the breaker of key, whose Name is key, and makes it if there is
// none. Get it again for each call: one that is kept outside the group works on
// but may have been replaced by another.
func (g *Group) Get(key string) *Breaker {
	if m, ok := g.members.Load(key); ok {
		return m.(*member).use()
	}
	return g.add(key)
}

// use marks m. Most calls only read: a store would be shared by all processors.
func (m *member) use() *Breaker {
	if !m.used.Load() {
		m.used.Store(true)
	}
	return m.b
}

func (g *Group) add(key string) *Breaker {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m, ok := g.members.Load(key); ok {
		return m.(*member).use()
	}
	g.scheduleSweep()
	for len(g.clock) >= g.limit {
		g.displace()
	}
	// A new member must prove its use before the clock hand comes by, but the
	// sweep that is next may come at once and does not count.
	m := &member{b: newBreaker(key, g.cfg), place: len(g.clock), sweeps: -1}
	g.clock = append(g.clock, m)
	g.members.Store(key, m)
	return m.b
}

// displace removes the first member, from the clock hand on, that has not been
// used since the hand last passed.
func (g *Group) displace() {
	for g.clock[g.hand%len(g.clock)].used.Swap(false) {
		g.hand++
	}
	g.remove(g.hand % len(g.clock))
}

// remove forgets the member at place i of the clock.
func (g *Group) remove(i int) {
	g.members.Delete(g.clock[i].b.name)
	last := len(g.clock) - 1
	g.clock[i] = g.clock[last]
	g.clock[i].place = i
	g.clock[last] = nil
	g.clock = g.clock[:last]
}

// Forget drops the breaker of key at once, as when an endpoint has left.
func (g *Group) Forget(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m, ok := g.members.Load(key); ok {
		g.remove(m.(*member).place)
	}
}

// Len returns how many breakers there are.
func (g *Group) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.clock)
}

// All yields every key with its breaker, in no order, without marking them as
// used. What is added or forgotten meanwhile may be missing or present.
func (g *Group) All() iter.Seq2[string, *Breaker] {
	return func(yield func(string, *Breaker) bool) {
		g.members.Range(func(key, m any) bool {
			return yield(key.(string), m.(*member).b)
		})
	}
}

// sweepsIdle is how many sweeps in a row a member survives unused.
const sweepsIdle = 2

func (g *Group) scheduleSweep() {
	if g.sweeping {
		return
	}
	g.sweeping = true
	time.AfterFunc(g.idle/sweepsIdle, g.sweep)
}

// sweep forgets what has not been used for the idle time.
func (g *Group) sweep() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweeping = false
	for i := len(g.clock) - 1; i >= 0; i-- {
		if m := g.clock[i]; m.overdue() {
			g.remove(i)
		}
	}
	if len(g.clock) > 0 {
		g.scheduleSweep()
	} else {
		g.clock = nil
	}
}

// overdue counts a sweep and reports whether m is to be forgotten.
func (m *member) overdue() bool {
	if m.used.Swap(false) {
		m.sweeps = 0
		return false
	}
	m.sweeps++
	return m.sweeps >= sweepsIdle && !m.b.matters()
}
