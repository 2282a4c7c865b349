package load

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// outcome is how a call ended.
type outcome int

const (
	ok      outcome = iota
	refused         // a clear no that is no fault of the shop, such as out of stock
	failed
)

// sample is one call.
type sample struct {
	call     string
	begin    time.Duration // intended start, since the beginning
	latency  time.Duration // from the intended start
	outcome  outcome
	kind     string // why it was refused or failed
	degraded string // what the answer had to do without
}

// recorder collects samples. It may be used by many goroutines.
type recorder struct {
	mu      sync.Mutex
	samples []sample
	missed  int
	told    int // samples that a tick has covered
}

func (r *recorder) add(s sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, s)
}

// miss counts a call that could not be started in time.
func (r *recorder) miss() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missed++
}

// Tick is what has ended since the tick before.
type Tick struct {
	At                              time.Duration
	Calls, Failed, Degraded, Missed int // Missed counts from the beginning
	Latency                         Latency
}

// tick returns what was added since the last tick.
func (r *recorder) tick(at time.Duration) Tick {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := Tick{At: at, Missed: r.missed}
	fresh := r.samples[r.told:]
	r.told = len(r.samples)
	t.Calls, t.Latency = len(fresh), latencyOf(fresh)
	for _, s := range fresh {
		if s.outcome == failed {
			t.Failed++
		}
		if s.degraded != "" {
			t.Degraded++
		}
	}
	return t
}

// Latency holds exact quantiles of successful and other calls alike, in
// milliseconds.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

func latencyOf(samples []sample) Latency {
	if len(samples) == 0 {
		return Latency{}
	}
	sorted := make([]time.Duration, len(samples))
	for i, s := range samples {
		sorted[i] = s.latency
	}
	slices.Sort(sorted)
	at := func(q float64) float64 {
		// the smallest value that at least the share q does not exceed
		i := int(math.Ceil(q * float64(len(sorted))))
		return milliseconds(sorted[i-1])
	}
	return Latency{P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: at(1)}
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// Share is how many of some calls went well. A refusal counts as well: it is
// the answer that the visitor had to get.
type Share struct {
	Calls   int     `json:"calls"`
	Good    int     `json:"good"`
	Percent float64 `json:"percent"` // 100 if there were no calls
}

func shareOf(samples []sample) Share {
	s := Share{Calls: len(samples), Percent: 100}
	for _, one := range samples {
		if one.outcome != failed {
			s.Good++
		}
	}
	if s.Calls > 0 {
		s.Percent = 100 * float64(s.Good) / float64(s.Calls)
	}
	return s
}

// Kind is one reason for failures or refusals.
type Kind struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
	// First and Last are when such calls should have started, in seconds.
	First float64 `json:"first_s"`
	Last  float64 `json:"last_s"`
}

// kinds counts the calls with the given outcome by reason, most frequent first.
func kinds(samples []sample, of outcome) []Kind {
	byKind := map[string]*Kind{}
	for _, s := range samples {
		if s.outcome != of {
			continue
		}
		name, at := s.call+": "+s.kind, s.begin.Seconds()
		k := byKind[name]
		if k == nil {
			k = &Kind{Kind: name, First: at, Last: at}
			byKind[name] = k
		}
		k.Count++
		k.First, k.Last = min(k.First, at), max(k.Last, at)
	}
	list := []Kind{}
	for _, name := range slices.Sorted(maps.Keys(byKind)) {
		list = append(list, *byKind[name])
	}
	slices.SortStableFunc(list, func(a, b Kind) int { return b.Count - a.Count })
	return list
}
