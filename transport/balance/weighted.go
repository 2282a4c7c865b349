package balance

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
)

// Defaults of [Weighted], used where a field is zero.
const (
	DefaultBlackout     = 10 * time.Second
	DefaultExpiration   = 3 * time.Minute
	DefaultUpdate       = time.Second
	DefaultErrorPenalty = 1.0
)

// minUpdate is the shortest [Weighted.Update].
const minUpdate = 100 * time.Millisecond

// Weighted are the settings of [WeightedRoundRobin].
type Weighted struct {
	// Blackout is how long a server must have been reporting before what it
	// says is used: at first it does not know its load. Default 10 s; negative
	// is no time.
	Blackout time.Duration
	// Expiration is how old a report may be. After it, the blackout begins
	// anew. Default 3 min.
	Expiration time.Duration
	// Update is how often shares are adapted to the reports, at least 100 ms.
	// Default 1 s.
	Update time.Duration
	// ErrorPenalty is how much utilization each failed request stands for: see
	// [WeightedRoundRobin]. Default 1; negative is none.
	ErrorPenalty float64
}

func (w *Weighted) withDefaults() {
	w.Blackout = cmp.Or(w.Blackout, DefaultBlackout)
	w.Expiration = cmp.Or(w.Expiration, DefaultExpiration)
	w.Update = cmp.Or(w.Update, DefaultUpdate)
	w.ErrorPenalty = cmp.Or(w.ErrorPenalty, DefaultErrorPenalty)
}

func (w *Weighted) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("balance: weighted "+format, args...))
	}
	if w.Expiration < 0 {
		bad("expiration %v: must not be negative", w.Expiration)
	}
	if w.Update != 0 && w.Update < minUpdate {
		bad("update %v: want at least %v", w.Update, minUpdate)
	}
	if math.IsNaN(w.ErrorPenalty) || math.IsInf(w.ErrorPenalty, 0) {
		bad("error_penalty %v: want a number", w.ErrorPenalty)
	}
	return errors.Join(errs...)
}

// weightedJSON is the form of Weighted in JSON.
type weightedJSON struct {
	Blackout     duration.Duration `json:"blackout,omitzero"`
	Expiration   duration.Duration `json:"expiration,omitzero"`
	Update       duration.Duration `json:"update,omitzero"`
	ErrorPenalty float64           `json:"error_penalty,omitzero"`
}

func (w Weighted) json() weightedJSON {
	return weightedJSON{
		duration.Duration(w.Blackout), duration.Duration(w.Expiration), duration.Duration(w.Update), w.ErrorPenalty,
	}
}

func (j weightedJSON) weighted() Weighted {
	return Weighted{time.Duration(j.Blackout), time.Duration(j.Expiration), time.Duration(j.Update), j.ErrorPenalty}
}

// weightedRoundRobin takes turns by what the servers report. The pick that finds
// the shares due works them out anew; the others go on meanwhile.
type weightedRoundRobin struct {
	set      *set
	settings Weighted
	static   roundRobin // while too little is known

	order    atomic.Pointer[rotation] // nil: static
	due      atomic.Int64             // when order is to be made anew
	updating sync.Mutex
}

func newWeightedRoundRobin(s *set, k *kept, settings Weighted, now int64) *weightedRoundRobin {
	w := &weightedRoundRobin{set: s, settings: settings, static: newRoundRobin(s, k)}
	w.update(now)
	return w
}

func (w *weightedRoundRobin) Pick(c Candidates) int {
	if c.now >= w.due.Load() && w.updating.TryLock() {
		if c.now >= w.due.Load() {
			w.update(c.now)
		}
		w.updating.Unlock()
	}
	turns := w.static
	if order := w.order.Load(); order != nil {
		turns.order = *order
	}
	return turns.Pick(c)
}

// update makes the order by the weights that hold now.
func (w *weightedRoundRobin) update(now int64) {
	w.due.Store(now + int64(w.settings.Update))
	weights := make([]float64, len(w.set.active))
	for i, e := range w.set.active {
		weights[i] = e.served.weight(now, &w.settings)
	}
	if !fillIn(weights) {
		w.order.Store(nil)
		return
	}
	for i := range weights {
		if w.set.weights != nil {
			weights[i] *= w.set.weights[i]
		}
	}
	w.order.Store(&rotation{strides: newStrides(weights)})
}

// The bounds of a weight, as multiples of the mean: a server that reports
// nonsense must neither draw all calls nor get none. They are gRPC's.
const minOfMean, maxOfMean = 0.01, 10

// fillIn gives those of weights that are not known, which are 0, the mean of the
// others, and bounds the others. It reports whether enough are known to go by
// them: two.
func fillIn(weights []float64) bool {
	known, sum := 0, 0.0
	for _, w := range weights {
		if w > 0 {
			known++
			sum += w
		}
	}
	if known < 2 {
		return false
	}
	mean := sum / float64(known)
	for i, w := range weights {
		if w == 0 {
			weights[i] = mean
		} else {
			weights[i] = min(max(w, minOfMean*mean), maxOfMean*mean)
		}
	}
	return true
}

// served is what an endpoint's reports say about how much it can serve.
type served struct {
	perSecond atomic.Uint64 // requests, were it all in use: a float64
	at        atomic.Int64  // when that was last said; 0: never
	since     atomic.Int64  // when it was first said; 0: not, or so long ago that it begins anew
}

// report takes in a report, unless it says nothing.
func (s *served) report(now int64, l Load, penalty float64) {
	w := reportedWeight(l, penalty)
	if w == 0 {
		return
	}
	s.perSecond.Store(math.Float64bits(w))
	s.at.Store(now)
	if s.since.Load() == 0 {
		s.since.CompareAndSwap(0, now)
	}
}

// weight returns the weight to use, or 0 if none is to be.
func (s *served) weight(now int64, p *Weighted) float64 {
	at, since := s.at.Load(), s.since.Load()
	switch {
	case at == 0:
		return 0
	case now-at >= int64(p.Expiration):
		s.since.Store(0)
		return 0
	case p.Blackout > 0 && (since == 0 || now-since < int64(p.Blackout)):
		return 0
	}
	return math.Float64frombits(s.perSecond.Load())
}

// reportedWeight returns the weight that follows from a report, or 0 if it says
// too little.
func reportedWeight(l Load, penalty float64) float64 {
	if !(l.QPS > 0 && l.Utilization > 0) { // NaN too
		return 0
	}
	used := l.Utilization
	if l.EPS > 0 && penalty > 0 {
		used += l.EPS / l.QPS * penalty
	}
	if w := l.QPS / used; w > 0 && w <= math.MaxFloat64 {
		return w
	}
	return 0
}
