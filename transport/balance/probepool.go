package balance

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/gabion-go/gabion/internal/random"
)

// lastReport is what an endpoint's last report said beside its requests in
// flight.
type lastReport struct {
	latency atomic.Int64  // nanoseconds; 0: it did not say
	begun   atomic.Uint32 // calls that had been sent there when it came
	asked   atomic.Int64  // when the endpoint was first asked for the next one; 0: never
}

// told is what an endpoint has told of itself.
type told struct {
	at      int64   // when the report came
	age     int64   // how long ago that was; math.MaxInt64 if there is none
	rif     float64 // requests in flight there by now, as far as is known
	latency float64 // nanoseconds, 0 if it does not say
}

// told returns what is known by reports at this time. Calls that were sent since
// the report count as being in flight, and failures as load. Latencies that the
// client has seen say too little where it sends few calls to each endpoint.
func (e *Endpoint) told(now int64) told {
	word := e.reported.Load()
	if word == 0 {
		return told{age: math.MaxInt64}
	}
	age := latencyAge(word, now)
	t := told{at: now - now%latencyTick - age, age: age, latency: float64(e.last.latency.Load())}
	if t.latency > 0 {
		t.latency = e.expected(t.latency, now)
	}
	sent := int32(e.inflight.begun() - e.last.begun.Load())
	t.rif = float64(uint32(word)) - 1 + float64(max(sent, 0))
	if rate := rateAt(e.failureRate.Load(), now); rate > 0 {
		t.rif = (t.rif+1)*(1+ratePenalty*rate) - 1
	}
	return t
}

// asked notes that e, which has told r, is asked for another report.
func (e *Endpoint) asked(r told, now int64) {
	if since := e.last.asked.Load(); since == 0 || r.after(since) {
		e.last.asked.Store(now)
	}
}

// silent reports whether e, which has told r, has been asked before this time,
// and not answered.
func (e *Endpoint) silent(r told, before int64) bool {
	since := e.last.asked.Load()
	return since != 0 && since < before && !r.after(since)
}

// after reports whether the report came at this time or later, but for a tick.
func (t *told) after(now int64) bool { return t.age != math.MaxInt64 && t.at+latencyTick > now }

// A probe is a report in the pool.
type probe struct {
	index   int32 // of the candidate
	uses    int32 // that are left
	used    bool
	at      int64 // when it was made
	rif     float64
	latency float64
}

// A probePool is some endpoints' reports, one for each.
type probePool struct {
	probes []probe
	maxAge int64
	reuse  float64 // how often a probe may be used, on average
	remove bool    // whether each pick takes one out; not if there is room for all
	oldest bool    // whether it was the worst that the last one took out

	// What was seen last of up to 64 endpoints; negative: nothing.
	seen     [64]float64
	puts     int
	quantile float64
	hot      float64 // more requests in flight than that is hot
}

// newProbePool returns a pool for n endpoints.
func newProbePool(n int, p *PrequalSettings) probePool {
	pool := probePool{
		probes: make([]probe, 0, min(p.Pool, n)), maxAge: int64(p.MaxAge),
		remove: n > p.Pool && p.Probes > 1, quantile: p.Quantile, reuse: reuse(n, p),
	}
	for i := range pool.seen {
		pool.seen[i] = -1
	}
	return pool
}

// reuse returns how often a probe can be used so that as many leave the pool as
// join it, where a part of those that join replace their endpoint's last.
func reuse(n int, p *PrequalSettings) float64 {
	const surplus = 1 // delta in the paper
	removed := 1.0
	if p.Probes == 1 {
		removed = 0
	}
	joining := (1-float64(p.Pool)/float64(n))*float64(p.Probes) - removed // negative if n is small
	if joining <= 0 {
		return math.MaxInt32
	}
	return max(1, (1+surplus)/joining)
}

// refresh takes in what the responses to calls have brought that were sent by
// the pool, and drops what is too old.
func (p *probePool) refresh(c *Candidates) {
	fresh := p.probes[:0]
	for _, r := range p.probes {
		if r.used {
			if t := c.set.active[r.index].told(c.now); t.at > r.at {
				r = p.probe(c, int(r.index), t)
			}
		}
		if c.now-r.at <= p.maxAge {
			fresh = append(fresh, r)
		}
	}
	p.probes = fresh
}

// probe returns what candidate i has told as a member of the pool.
func (p *probePool) probe(c *Candidates, i int, t told) probe {
	return probe{index: int32(i), uses: p.uses(c), at: t.at, rif: t.rif / c.Weight(i), latency: t.latency}
}

// put adds what candidate i has told, instead of its last report or, if there is
// no room, of the oldest.
func (p *probePool) put(c *Candidates, i int, t told) {
	r := p.probe(c, i, t)
	p.see(i, r.rif)
	for k := range p.probes {
		if old := &p.probes[k]; old.index == r.index {
			if r.at > old.at {
				*old = r
			}
			return
		}
	}
	if len(p.probes) == cap(p.probes) {
		p.drop(p.eldest())
	}
	p.probes = append(p.probes, r)
}

// uses draws how often a probe may be used.
func (p *probePool) uses(c *Candidates) int32 {
	whole := math.Floor(p.reuse)
	if part := p.reuse - whole; part > 0 && random.Float64(c.set.rand) < part {
		whole++
	}
	return int32(whole)
}

// see notes how many requests an endpoint has in flight, and now and then works
// out from how many on one is hot.
func (p *probePool) see(i int, rif float64) {
	p.seen[i%len(p.seen)] = rif
	p.puts++
	if p.puts%len(p.seen) != 0 && p.puts&(p.puts-1) != 0 {
		return
	}
	var sorted [len(p.seen)]float64
	n := 0
	for _, rif := range p.seen {
		if rif >= 0 {
			sorted[n] = rif
			n++
		}
	}
	slices.Sort(sorted[:n])
	p.hot = sorted[int(p.quantile*float64(n-1))]
}

// choose returns the candidate of the best probe, and counts it as sent a call,
// or a negative number if too little is known.
func (p *probePool) choose(c *Candidates) int {
	if len(p.probes) < 2 {
		return -1
	}
	tried := uint64(0)
	for range p.probes {
		k := p.best(tried)
		r := &p.probes[k]
		i := int(r.index)
		if !c.free(i) {
			tried |= 1 << k
			continue
		}
		if c.explain != nil {
			p.note(c)
		}
		r.rif += 1 / c.Weight(i)
		r.used = true
		if r.uses--; r.uses == 0 {
			p.drop(k)
		}
		p.retire()
		return i
	}
	return -1
}

// best returns the place of the best probe, but for those whose bit is set.
func (p *probePool) best(except uint64) int {
	best := -1
	for k := range p.probes {
		if except&(1<<k) == 0 && (best < 0 || p.better(&p.probes[k], &p.probes[best])) {
			best = k
		}
	}
	return best
}

// better reports whether r is better than s: cold rather than hot, and then of
// less latency if both are cold, or else with fewer requests in flight.
func (p *probePool) better(r, s *probe) bool {
	cold := r.rif <= p.hot
	switch {
	case cold != (s.rif <= p.hot):
		return cold
	case cold && r.latency != s.latency && r.latency > 0 && s.latency > 0:
		return r.latency < s.latency
	}
	return r.rif < s.rif
}

// retire takes out the worst probe and the oldest in turn. The best are used up,
// and without that the worst would fill the pool.
func (p *probePool) retire() {
	if !p.remove || len(p.probes) == 0 {
		return
	}
	if p.oldest = !p.oldest; p.oldest {
		p.drop(p.eldest())
		return
	}
	worst := 0
	for k := range p.probes {
		if p.better(&p.probes[worst], &p.probes[k]) {
			worst = k
		}
	}
	p.drop(worst)
}

// eldest returns the place of the oldest probe.
func (p *probePool) eldest() int {
	eldest := 0
	for k := range p.probes {
		if p.probes[k].at < p.probes[eldest].at {
			eldest = k
		}
	}
	return eldest
}

// drop takes out a probe. It changes the order.
func (p *probePool) drop(k int) {
	last := len(p.probes) - 1
	p.probes[k] = p.probes[last]
	p.probes = p.probes[:last]
}

// note tells an explanation who was compared.
func (p *probePool) note(c *Candidates) {
	for _, r := range p.probes {
		c.explain.note(c.set.active[r.index])
	}
}
