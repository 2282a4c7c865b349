package balance

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/random"
)

// The paper gives 1.32 for 3 probes, a pool of 16 and 100 replicas.
func TestProbeReuse(t *testing.T) {
	for _, test := range []struct {
		n, pool, probes int
		want            float64
	}{
		{100, 16, 3, 1.3157894736842106},
		{32, 16, 3, 4},
		{32, 16, 8, 1},
		{20, 16, 3, math.MaxInt32}, // more leave than join: until they are too old
		{16, 16, 3, math.MaxInt32},
		{100, 16, 1, 2 / 0.84},
	} {
		got := reuse(test.n, &PrequalSettings{Pool: test.pool, Probes: test.probes})
		if math.Abs(got-test.want) > 1e-9*test.want {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}

// poolOf returns a pool in which the candidates have told that, and the
// candidates, of which those in resting are not usable.
func poolOf(t *testing.T, settings PrequalSettings, told []told, resting ...int) (*probePool, *Candidates) {
	t.Helper()
	b, err := New(Policy{Name: Prequal, Prequal: settings}, WithRand(random.New(1)))
	if err != nil {
		t.Fatal(err)
	}
	s := &set{active: make([]*Endpoint, len(told)), rand: b.rand}
	c := &Candidates{set: s, now: int64(time.Hour)}
	for i := range told {
		s.active[i] = &Endpoint{balancer: b}
	}
	for _, i := range resting {
		s.active[i].restUntil.Store(math.MaxInt64)
	}
	p := newProbePool(len(told), &b.policy.Prequal)
	for i, r := range told {
		p.put(c, i, r)
	}
	return &p, c
}

func TestHotCold(t *testing.T) {
	now := int64(time.Hour)
	for name, test := range map[string]struct {
		told    []told
		hot     float64
		resting []int
		want    int
	}{
		"of the cold the fastest":      {[]told{{rif: 1, latency: 9}, {rif: 5, latency: 3}, {rif: 9, latency: 1}}, 5, nil, 1},
		"equally fast: the idler":      {[]told{{rif: 3, latency: 3}, {rif: 1, latency: 3}}, 5, nil, 1},
		"one does not say: the idler":  {[]told{{rif: 3, latency: 3}, {rif: 2}}, 5, nil, 1},
		"and the other way round":      {[]told{{rif: 2, latency: 3}, {rif: 3}}, 5, nil, 0},
		"all hot: the idlest":          {[]told{{rif: 8, latency: 1}, {rif: 7, latency: 9}}, 5, nil, 1},
		"as many as the quantile":      {[]told{{rif: 6, latency: 2}, {rif: 5, latency: 3}}, 5, nil, 1},
		"the next if it rests":         {[]told{{rif: 1, latency: 1}, {rif: 1, latency: 2}, {rif: 1, latency: 3}}, 5, []int{0}, 1},
		"hot if all the cold ones do":  {[]told{{rif: 1, latency: 1}, {rif: 9, latency: 2}, {rif: 8, latency: 3}}, 5, []int{0}, 2},
		"nobody if all rest":           {[]told{{rif: 1}, {rif: 2}}, 5, []int{0, 1}, -1},
		"nobody of one: is it so good": {[]told{{rif: 1}}, 5, nil, -1},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range test.told {
				test.told[i].at = now
			}
			p, c := poolOf(t, PrequalSettings{}, test.told, test.resting...)
			p.hot = test.hot
			if got := p.choose(c); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// Each use makes the endpoint look busier, so that the calls between two reports
// do not all go to one.
func TestProbeCountsItsUses(t *testing.T) {
	p, c := poolOf(t, PrequalSettings{}, []told{{rif: 0, latency: 1}, {rif: 1, latency: 2}, {rif: 2, latency: 3}})
	p.hot, p.remove = 2, false
	for i, want := range []int{0, 0, 0, 1, 1, 2, 0} {
		if got := p.choose(c); got != want {
			t.Fatalf("call %d goes to %d, want %d", i, got, want)
		}
	}
}

// The quantile is of endpoints, not of reports: one that reports often counts
// once.
func TestHotIsAQuantileOfEndpoints(t *testing.T) {
	var all []told
	for i := range 50 {
		all = append(all, told{rif: float64(i)})
	}
	p, c := poolOf(t, PrequalSettings{}, all)
	for range 1000 {
		p.put(c, 7, told{rif: 7})
	}
	if p.hot != 41 { // 0.84 * 49
		t.Errorf("hot is above %v, want 41", p.hot)
	}
}

func TestPoolIsBounded(t *testing.T) {
	var all []told
	for i := range 20 {
		all = append(all, told{at: int64(100 - i), rif: float64(i)})
	}
	p, c := poolOf(t, PrequalSettings{Pool: 8}, all)
	if got := fmt.Sprint(indexes(p)); got != fmt.Sprint(map[int32]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 19: true}) {
		t.Errorf("the oldest had to go, and left are %v", got)
	}
	p.put(c, 0, told{at: 99, rif: 99}) // older than what there is
	p.put(c, 1, told{at: 100, rif: 99})
	for _, r := range p.probes {
		if r.index == 0 && r.rif != 0 || r.index == 1 && r.rif != 99 {
			t.Errorf("%d is taken to have %v in flight", r.index, r.rif)
		}
	}
	c.now = p.maxAge + 100
	p.refresh(c)
	if got := len(p.probes); got != 2 {
		t.Errorf("%d are fresh, want 2", got)
	}
}

func indexes(p *probePool) map[int32]bool {
	is := map[int32]bool{}
	for _, r := range p.probes {
		is[r.index] = true
	}
	return is
}

// The worst and the oldest leave in turn, and what was used up.
func TestPoolRetires(t *testing.T) {
	p, c := poolOf(t, PrequalSettings{}, []told{
		{at: 1, rif: 0, latency: 1}, {at: 5, rif: 0, latency: 9}, {at: 3, rif: 0, latency: 2}, {at: 2, rif: 9, latency: 1}, {at: 4, rif: 1, latency: 3},
	})
	p.hot, p.remove = 5, true
	for _, gone := range []int32{0, 3} {
		p.choose(c)
		if indexes(p)[gone] {
			t.Errorf("%v are left, and %d is not gone", indexes(p), gone)
		}
	}
	p.probes[0].uses = 1
	for k := range p.probes {
		p.probes[k].latency = float64(k + 1)
	}
	p.remove = false
	best := p.probes[0].index
	if got := p.choose(c); got != int(best) || indexes(p)[best] {
		t.Errorf("chose %d, want %d, and it to be used up", got, best)
	}
}

func TestToldCountsWhatWasSentSince(t *testing.T) {
	b, err := New(Policy{Name: Prequal})
	if err != nil {
		t.Fatal(err)
	}
	e := &Endpoint{balancer: b}
	if got := e.told(b.now()); got.age != math.MaxInt64 {
		t.Errorf("never told anything, but %+v", got)
	}
	e.inflight.begin()
	e.Report(Load{RIF: 5, Latency: 7})
	for range 3 {
		e.inflight.begin()
	}
	e.inflight.end()
	if got := e.told(b.now()); got.rif != 8 || got.latency != 7 {
		t.Errorf("told %+v, want 8 in flight and a latency of 7", got)
	}
	e.Report(Load{RIF: 2})
	e.observeLatency(b.now(), time.Second)
	if got := e.told(b.now()); got.rif != 2 || got.latency != 0 {
		t.Errorf("told %+v, want 2 in flight and no latency", got)
	}
	e.observeRate(b.now(), true)
	if got := e.told(b.now()); got.rif < 4 {
		t.Errorf("told %+v after a failure, which should count as load", got)
	}
}

// What a response brings is taken in at once, if the pool has sent the call.
func TestPoolRefreshes(t *testing.T) {
	p, c := poolOf(t, PrequalSettings{}, []told{{at: -1, latency: 1}, {at: -1, rif: 1, latency: 2}, {at: -1, rif: 2, latency: 3}})
	p.hot = 2
	for _, e := range c.set.active {
		e.Report(Load{RIF: 7, Latency: 7})
	}
	c.now = c.set.active[0].balancer.now()
	sent := p.choose(c)
	p.refresh(c)
	for _, r := range p.probes {
		if got, want := r.rif == 7, int(r.index) == sent; got != want {
			t.Errorf("%d is taken to have %v in flight, and %d was sent the call", r.index, r.rif, sent)
		}
	}
}

// Twice the weight carries twice the requests.
func TestPoolWeighs(t *testing.T) {
	p, c := poolOf(t, PrequalSettings{}, []told{{}, {}, {}})
	c.set.weights = []float64{2, 1, 1}
	p.hot = 0
	p.put(c, 0, told{at: 1, rif: 10})
	p.put(c, 1, told{at: 1, rif: 8})
	p.put(c, 2, told{at: 1, rif: 6})
	for i, want := range []int{0, 0, 0, 2, 0} { // after three calls it is 6.5 against 6
		if got := p.choose(c); got != want {
			t.Fatalf("call %d goes to %d, want %d", i, got, want)
		}
	}
}

// How often a probe may be used is right on average.
func TestProbeUses(t *testing.T) {
	p, c := poolOf(t, PrequalSettings{}, make([]told, 100))
	const draws = 10_000
	sum := 0.0
	for range draws {
		sum += float64(p.uses(c))
	}
	if mean := sum / draws; math.Abs(mean-p.reuse) > 0.02 {
		t.Errorf("%v on average, want %v", mean, p.reuse)
	}
}
