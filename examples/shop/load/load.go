package load

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Config says what load to make. All fields but Constant, Seed and Progress
// are required.
type Config struct {
	// Target is the storefront's base URL, on loopback.
	Target string
	// Rate is the number of calls per second, and Duration how long new ones
	// are started.
	Rate     float64
	Duration time.Duration
	// Constant spaces calls evenly. Otherwise they come as a Poisson process.
	Constant bool
	// Seed makes arrivals and choices repeatable, and is part of the
	// idempotency keys.
	Seed uint64
	// MaxInFlight bounds the calls that are under way at once. A call that
	// finds no place is not started but counted as missed.
	MaxInFlight int
	// Timeout bounds each call.
	Timeout time.Duration
	// Think is how long visitors look at an answer, in the mean.
	Think time.Duration
	// Progress, if set, is called once a second.
	Progress func(Tick)

	dial dialer // nil for the network's
}

func (c Config) validate() error {
	var errs []error
	if !(c.Rate > 0 && c.Rate <= 100_000) {
		errs = append(errs, fmt.Errorf("load: rate %v: must be above 0 and at most 100000 calls per second", c.Rate))
	}
	if c.Duration <= 0 {
		errs = append(errs, fmt.Errorf("load: duration %v: must be above 0", c.Duration))
	}
	if c.MaxInFlight < 1 {
		errs = append(errs, fmt.Errorf("load: %d calls in flight: must be 1 or more", c.MaxInFlight))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("load: timeout %v: must be above 0", c.Timeout))
	}
	if c.Think <= 0 {
		errs = append(errs, fmt.Errorf("load: think time %v: must be above 0", c.Think))
	}
	return errors.Join(append(errs, checkTarget(c.Target))...)
}

// Run makes the load and reports on it. It returns when the last call has
// ended; if ctx ends it starts no more calls but lets those under way finish.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	client := newClient(cfg.Timeout, cfg.dial)
	defer client.CloseIdleConnections()
	s := &shop{
		target: trimTarget(cfg.Target), client: client, began: time.Now(),
		recorder: &recorder{}, ledger: newLedger(),
	}
	var progress sync.WaitGroup
	over, stop := context.WithCancel(context.WithoutCancel(ctx))
	progress.Go(func() { tell(over, cfg, s) })
	newGenerator(cfg, s).run(ctx)
	took := time.Since(s.began)
	stop()
	progress.Wait()
	return newReport(cfg, s, took), nil
}

// tell reports progress each second until ctx ends.
func tell(ctx context.Context, cfg Config, s *shop) {
	if cfg.Progress == nil {
		return
	}
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			cfg.Progress(s.recorder.tick(time.Since(s.began)))
		case <-ctx.Done():
			return
		}
	}
}

// generator starts the calls.
type generator struct {
	cfg    Config
	shop   *shop
	places chan struct{} // one for each call under way
	calls  sync.WaitGroup

	mu      sync.Mutex
	waiting visits // between two steps
	visits  uint64 // begun so far
}

func newGenerator(cfg Config, s *shop) *generator {
	return &generator{cfg: cfg, shop: s, places: make(chan struct{}, cfg.MaxInFlight)}
}

// run starts a call at each arrival and waits for all of them to end.
func (g *generator) run(ctx context.Context) {
	defer g.calls.Wait()
	var poisson *rand.Rand
	if !g.cfg.Constant {
		poisson = rand.New(rand.NewPCG(g.cfg.Seed, 0))
	}
	for offset := range arrivals(g.cfg.Rate, g.cfg.Duration, poisson) {
		at := g.shop.began.Add(offset)
		if !sleepUntil(ctx, at) {
			return
		}
		select {
		case g.places <- struct{}{}:
			v := g.take(at)
			g.calls.Go(func() { g.step(context.WithoutCancel(ctx), v, at) })
		default:
			g.shop.recorder.miss()
		}
	}
}

// step takes v one step further.
func (g *generator) step(ctx context.Context, v *visit, at time.Time) {
	v.next = v.next(ctx, at)
	if v.next != nil {
		v.ready = time.Now().Add(v.think(g.cfg.Think))
		g.mu.Lock()
		heap.Push(&g.waiting, v)
		g.mu.Unlock()
	}
	<-g.places
}

// take returns the visitor who has been ready for longest, or a new one.
func (g *generator) take(now time.Time) *visit {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 && !g.waiting[0].ready.After(now) {
		return heap.Pop(&g.waiting).(*visit)
	}
	g.visits++
	return newVisit(g.shop, g.cfg.Seed, g.visits)
}

// visits is a heap by the time when the visitor is ready.
type visits []*visit

func (v visits) Len() int           { return len(v) }
func (v visits) Less(i, j int) bool { return v[i].ready.Before(v[j].ready) }
func (v visits) Swap(i, j int)      { v[i], v[j] = v[j], v[i] }
func (v *visits) Push(x any)        { *v = append(*v, x.(*visit)) }
func (v *visits) Pop() any {
	last := len(*v) - 1
	x := (*v)[last]
	(*v)[last] = nil
	*v = (*v)[:last]
	return x
}

// sleepUntil waits for t and reports whether ctx still stands.
func sleepUntil(ctx context.Context, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
