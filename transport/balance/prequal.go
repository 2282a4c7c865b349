package balance

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/random"
)

// Defaults of [PrequalSettings], used where a field is zero.
const (
	DefaultPrequalPool     = 16
	DefaultPrequalMaxAge   = time.Second
	DefaultPrequalQuantile = 0.84 // 2^-0.25, as in the paper
	DefaultPrequalProbes   = 3
)

const (
	maxPrequalPool   = 64
	maxPrequalProbes = 8
)

// PrequalSettings are the settings of [Prequal].
type PrequalSettings struct {
	// Pool is how many reports are compared, from 2 to 64. Default 16.
	Pool int
	// MaxAge is how old a report may be. Default 1 s.
	MaxAge time.Duration
	// Quantile is which part of the endpoints, about, may be cold: those with as
	// many requests in flight as the endpoint at this quantile, or fewer. From 0,
	// exclusive, to 1. Default 0.84; less goes more by requests in flight, more
	// goes more by latency.
	Quantile float64
	// Probes is how many endpoints, at random, each pick looks at, from 1 to 8:
	// their reports join the pool if they are fresh, and else they are asked for
	// one ([WithProber]). Default 3.
	Probes int
}

func (p *PrequalSettings) withDefaults() {
	p.Pool = cmp.Or(p.Pool, DefaultPrequalPool)
	p.MaxAge = cmp.Or(p.MaxAge, DefaultPrequalMaxAge)
	p.Quantile = cmp.Or(p.Quantile, DefaultPrequalQuantile)
	p.Probes = cmp.Or(p.Probes, DefaultPrequalProbes)
}

func (p *PrequalSettings) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("balance: prequal "+format, args...))
	}
	if p.Pool != 0 && (p.Pool < 2 || p.Pool > maxPrequalPool) {
		bad("pool %d: want 2 to %d", p.Pool, maxPrequalPool)
	}
	if p.MaxAge < 0 {
		bad("max_age %v: must not be negative", p.MaxAge)
	}
	if !(p.Quantile >= 0 && p.Quantile <= 1) { // NaN too
		bad("quantile %v: want above 0 and up to 1", p.Quantile)
	}
	if p.Probes < 0 || p.Probes > maxPrequalProbes {
		bad("probes %d: want 1 to %d", p.Probes, maxPrequalProbes)
	}
	return errors.Join(errs...)
}

// prequalJSON is the form of PrequalSettings in JSON.
type prequalJSON struct {
	Pool     int               `json:"pool,omitzero"`
	MaxAge   duration.Duration `json:"max_age,omitzero"`
	Quantile float64           `json:"quantile,omitzero"`
	Probes   int               `json:"probes,omitzero"`
}

func (p PrequalSettings) json() prequalJSON {
	return prequalJSON{p.Pool, duration.Duration(p.MaxAge), p.Quantile, p.Probes}
}

func (j prequalJSON) settings() PrequalSettings {
	return PrequalSettings{j.Pool, time.Duration(j.MaxAge), j.Quantile, j.Probes}
}

// prequal takes the best of a pool of reports: of the cold endpoints the one
// with the least latency, or else the one with the fewest requests in flight.
// Source: Wydrowski, Kleinberg, Rumble and Archer, "Load is not what you should
// balance: Introducing Prequal", NSDI 2024.
//
// A pick does not wait for what it asks for: it goes by what is known. Reports
// that responses have brought count as answers, so endpoints are asked only when
// there is little traffic. Where nothing is known, it is peakEWMA.
type prequal struct {
	settings PrequalSettings
	ask      func(*Endpoint) // nil: nobody can

	mu      sync.Mutex
	pool    probePool
	awaited []awaited
}

// awaited is an endpoint that has been asked.
type awaited struct {
	index int32
	since int64
}

func newPrequal(s *set, settings PrequalSettings, ask func(*Endpoint)) *prequal {
	return &prequal{
		settings: settings, ask: ask,
		pool:    newProbePool(len(s.active), &settings),
		awaited: make([]awaited, 0, settings.Pool),
	}
}

func (p *prequal) Pick(c Candidates) int {
	if !p.mu.TryLock() {
		return peakEWMA{}.Pick(c)
	}
	var ask [maxPrequalProbes]*Endpoint
	i, asked := p.pick(&c, &ask)
	p.mu.Unlock()
	for _, e := range ask[:asked] {
		p.ask(e)
	}
	if i < 0 {
		return peakEWMA{}.Pick(c)
	}
	return i
}

// pick returns the index of the endpoint that gets the call, or a negative
// number, and how many are to be asked.
func (p *prequal) pick(c *Candidates, ask *[maxPrequalProbes]*Endpoint) (picked, asked int) {
	p.pool.refresh(c)
	p.collect(c)
	alone := -1
	for k := range p.settings.Probes {
		i := c.set.draw(-1)
		if !c.free(i) {
			continue
		}
		e := c.set.active[i]
		part := c.warmth(e)
		switch report := e.told(c.now); {
		case part < 1: // compared with others it would look idle, and win
			if k == 0 && random.Float64(c.set.rand) < part {
				alone = i
			}
		case report.age <= int64(p.settings.MaxAge):
			p.pool.put(c, i, report)
		default:
			if k == 0 && (p.ask == nil || e.silent(report, c.now-int64(p.settings.MaxAge))) {
				alone = i // not left to those that tell their load to get the calls
			}
			if p.await(i, c.now) {
				e.asked(report, c.now)
				ask[asked] = e
				asked++
			}
		}
	}
	if alone >= 0 {
		return c.lessBusy(alone), asked
	}
	return p.pool.choose(c), asked
}

// await notes that i is to be asked. It reports false if it must not be.
func (p *prequal) await(i int, now int64) bool {
	if p.ask == nil || len(p.awaited) == cap(p.awaited) {
		return false
	}
	for _, a := range p.awaited {
		if int(a.index) == i {
			return false
		}
	}
	p.awaited = append(p.awaited, awaited{int32(i), now})
	return true
}

// collect takes in what those that were asked have answered, and gives up
// waiting for the others after a while.
func (p *prequal) collect(c *Candidates) {
	left := p.awaited[:0]
	for _, a := range p.awaited {
		report := c.set.active[a.index].told(c.now)
		switch {
		case report.after(a.since):
			p.pool.put(c, int(a.index), report)
		case c.now-a.since <= int64(p.settings.MaxAge):
			left = append(left, a)
		}
	}
	p.awaited = left
}

// lessBusy returns first, or another one at random that is less busy.
func (c *Candidates) lessBusy(first int) int {
	if second := c.Draw(first); second >= 0 && c.busier(first, second) {
		return second
	}
	return first
}
