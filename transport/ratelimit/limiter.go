package ratelimit

import (
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A Decision is what became of one request.
type Decision struct {
	// Allowed reports whether the request was granted.
	Allowed bool
	// Remaining is how many more would be granted at once now.
	Remaining int
	// Next is in how long there will be one more; zero if there is nothing
	// more to come.
	Next time.Duration
	// RetryAfter is in how long the request would be granted; zero if it was.
	RetryAfter time.Duration
}

type config struct {
	key     func(*http.Request) string
	cost    func(*http.Request) int
	observe func(*http.Request, Decision)
}

// An Option changes how a [Limiter] works.
type Option interface{ apply(*config) }

type option func(*config)

func (f option) apply(c *config) { f(c) }

// WithKey sets what tells one client from another. Requests of the same key are
// counted together; the empty key is one like any other. It must be something
// that a caller cannot change at will. Default [RemoteAddr]. See [ClientIP] for
// servers behind proxies.
func WithKey(key func(*http.Request) string) Option {
	return option(func(c *config) { c.key = key })
}

// WithCost sets how many requests one counts for. At 0 and below it is always
// granted; more than a policy's Burst counts as Burst. Default 1.
func WithCost(cost func(*http.Request) int) Option {
	return option(func(c *config) { c.cost = cost })
}

// WithObserver sets a function that is told of every decision about a request.
// It runs on the request's path and must be quick. Default none. Under a
// [transport.Server] refusals are counted in its metrics without it.
func WithObserver(observe func(*http.Request, Decision)) Option {
	return option(func(c *config) { c.observe = observe })
}

// A Limiter grants requests by a [Policy]. It is safe for concurrent use and
// starts no goroutine.
type Limiter struct {
	cfg    config
	start  time.Time
	active atomic.Pointer[grant]

	updating sync.Mutex // held by Update
}

// grant is a policy in force and what has been used of it: in clients or, with
// PerAll, in all.
type grant struct {
	policy   Policy        // defaults filled in
	interval time.Duration // between two requests on average
	burst    time.Duration // as many intervals as the burst has requests
	texts    texts
	clients  *table
	all      *rate.Limiter
}

// New returns a limiter of which nothing has been used. The error joins
// everything that is wrong with p.
func New(p Policy, opts ...Option) (*Limiter, error) {
	l := &Limiter{start: time.Now()}
	l.cfg = config{key: RemoteAddr}
	for _, o := range opts {
		o.apply(&l.cfg)
	}
	if err := l.Update(p); err != nil {
		return nil, err
	}
	return l, nil
}

// Update changes the policy. What has been used stays used, unless Per or Keys
// change; each client is granted it again as fast as under the old policy. If p
// is not valid nothing changes, and the error joins everything that is wrong
// with it.
func (l *Limiter) Update(p Policy) error {
	if err := p.Validate(); err != nil {
		return err
	}
	l.updating.Lock()
	defer l.updating.Unlock()
	p = p.WithDefaults()
	g := &grant{policy: p, interval: p.interval(), texts: newTexts(p)}
	g.burst = time.Duration(p.Burst) * g.interval
	if old := l.active.Load(); old != nil && old.policy.Per == p.Per && old.policy.Keys == p.Keys {
		g.clients, g.all = old.clients, old.all
	}
	switch {
	case p.Per == PerClient && g.clients == nil:
		g.clients = newTable(p.Keys)
	case p.Per == PerAll && g.all == nil:
		g.all = rate.NewLimiter(rate.Every(g.interval), p.Burst)
	case p.Per == PerAll:
		g.all.SetLimit(rate.Every(g.interval))
		g.all.SetBurst(p.Burst)
	}
	l.active.Store(g)
	return nil
}

// Policy returns the policy in force, defaults filled in.
func (l *Limiter) Policy() Policy { return l.active.Load().policy }

// Take decides about one request of the client that key stands for, which counts
// for cost: see [WithCost]. It allocates nothing.
func (l *Limiter) Take(key string, cost int) Decision {
	return l.active.Load().take(key, cost, time.Since(l.start))
}

// take is Take at the time now since the limiter began.
func (g *grant) take(key string, cost int, now time.Duration) Decision {
	cost = min(max(cost, 0), g.policy.Burst)
	if g.all != nil {
		return g.takeOfAll(cost)
	}
	price := time.Duration(cost) * g.interval
	ahead, ok := g.clients.take(key, now, price, g.burst)
	return g.decide(ok, ahead, price)
}

func (g *grant) takeOfAll(cost int) Decision {
	now := time.Now()
	ok := g.all.AllowN(now, cost)
	used := float64(g.policy.Burst) - g.all.TokensAt(now)
	ahead := time.Duration(math.Ceil(used * float64(g.interval)))
	return g.decide(ok, max(ahead, 0), time.Duration(cost)*g.interval)
}

// decide puts into words how far ahead of what it is granted a client is.
func (g *grant) decide(ok bool, ahead, price time.Duration) Decision {
	left := max(g.burst-ahead, 0)
	d := Decision{Allowed: ok, Remaining: int(left / g.interval)}
	if ahead > 0 {
		d.Next = min(g.interval-left%g.interval, ahead)
	}
	if !ok {
		d.RetryAfter = max(ahead+price-g.burst, 1)
	}
	return d
}
