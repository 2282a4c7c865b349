package retry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// Cost is what an extra attempt takes out of a [Budget], in tokens.
type Cost int

// What attempts cost. A retry after a timeout costs more, because the attempt
// before it may still keep the server busy.
const (
	CostRetry   Cost = 1
	CostTimeout Cost = 2
	CostHedge   Cost = 1
)

// BudgetPolicy sizes a [Budget]. A zero field means its default. In JSON
// durations are strings, and an unknown name is an error.
type BudgetPolicy struct {
	// Cap is the most tokens there can be, and how many there are at first.
	// Default 10. At most 10,000.
	Cap float64
	// PerSuccess is what a success adds. Default 0.1.
	PerSuccess float64
	// Refill is added per second while successes are seen. Default 1; negative
	// means none.
	Refill float64
	// Window is how long after a success the refill goes on. Default 10 s.
	Window time.Duration
}

// maxBudget bounds BudgetPolicy.Cap so that tokens fit their part of the word.
const maxBudget = 10_000

// WithDefaults returns p with every zero field set to its default.
func (p BudgetPolicy) WithDefaults() BudgetPolicy {
	p.Cap = cmp.Or(p.Cap, 10)
	p.PerSuccess = cmp.Or(p.PerSuccess, 0.1)
	p.Refill = cmp.Or(p.Refill, 1)
	p.Window = cmp.Or(p.Window, 10*time.Second)
	return p
}

// Validate reports, joined, everything that is wrong with p. The zero
// BudgetPolicy is valid.
func (p BudgetPolicy) Validate() error {
	var errs []error
	if !(p.Cap >= 0 && p.Cap <= maxBudget) {
		errs = append(errs, fmt.Errorf("retry: budget cap %v: want 0 to %d", p.Cap, maxBudget))
	}
	if !(p.PerSuccess >= 0 && p.PerSuccess <= maxBudget) {
		errs = append(errs, fmt.Errorf("retry: budget per_success %v: want 0 to %d", p.PerSuccess, maxBudget))
	}
	if !(p.Refill <= maxBudget) {
		errs = append(errs, fmt.Errorf("retry: budget refill %v: want at most %d", p.Refill, maxBudget))
	}
	if p.Window < 0 {
		errs = append(errs, fmt.Errorf("retry: budget window %v: must not be negative", p.Window))
	}
	return errors.Join(errs...)
}

type budgetJSON struct {
	Cap        float64           `json:"cap,omitempty"`
	PerSuccess float64           `json:"per_success,omitempty"`
	Refill     float64           `json:"refill,omitempty"`
	Window     duration.Duration `json:"window,omitempty"`
}

// MarshalJSON writes p with durations as strings, leaving out what is zero.
func (p BudgetPolicy) MarshalJSON() ([]byte, error) {
	return json.Marshal(budgetJSON{p.Cap, p.PerSuccess, p.Refill, duration.Duration(p.Window)})
}

// UnmarshalJSON reads what the object names and leaves the rest of p as it was.
func (p *BudgetPolicy) UnmarshalJSON(b []byte) error {
	j := budgetJSON{p.Cap, p.PerSuccess, p.Refill, duration.Duration(p.Window)}
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("retry: budget: %w", err)
	}
	*p = BudgetPolicy{j.Cap, j.PerSuccess, j.Refill, time.Duration(j.Window)}
	return nil
}

// A Budget bounds the extra attempts, retries and hedges alike, that all calls
// of one service may make together. Successes fund it and extra attempts spend
// it. A budget that is a share of requests keeps multiplying the load of a
// service that answers none of them; this one is empty soon after successes
// end, and fills again only when they come back. Source: Brooker, "Fixing
// retries with token buckets and circuit breakers", 2022.
//
// All methods are safe for concurrent use, lock nothing and allocate nothing.
type Budget struct {
	terms atomic.Pointer[terms]
	start time.Time

	// word holds the tokens (low 24 bits, thousandths) and the time up to
	// which the refill has been paid (high 40 bits, milliseconds since start):
	// one word, so that two takers cannot both spend the last token.
	word atomic.Uint64
	// lastSuccess is in milliseconds since start. It moves only after the
	// refill has been paid up to that moment, so that a gap without successes
	// is never paid.
	lastSuccess atomic.Int64
}

// terms are a BudgetPolicy in the units of the budget.
type terms struct {
	cap, perSuccess int64 // thousandths of a token
	refill          float64
	window          int64 // milliseconds
}

func newTerms(p BudgetPolicy) *terms {
	p = p.WithDefaults()
	return &terms{
		cap:        int64(math.Round(p.Cap * tokenUnit)),
		perSuccess: int64(math.Round(p.PerSuccess * tokenUnit)),
		refill:     max(0, p.Refill),
		window:     p.Window.Milliseconds(),
	}
}

// never is lastSuccess before the first one: no window reaches back that far.
const never = math.MinInt64 / 2

const (
	tokenUnit = 1000
	tokenBits = 24
	tokenMask = 1<<tokenBits - 1
)

// NewBudget returns a full Budget. The error joins everything that is wrong
// with p.
func NewBudget(p BudgetPolicy) (*Budget, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	b := &Budget{start: time.Now()}
	t := newTerms(p)
	b.terms.Store(t)
	b.word.Store(uint64(t.cap))
	b.lastSuccess.Store(never)
	return b, nil
}

// Update changes the policy from now on. The tokens stay, cut to the new cap,
// and what has been refilled up to now is paid by the old policy. The error
// joins everything that is wrong with p, and then nothing changes.
func (b *Budget) Update(p BudgetPolicy) error {
	if err := p.Validate(); err != nil {
		return err
	}
	b.add(b.now(), 0)
	b.terms.Store(newTerms(p))
	b.add(b.now(), 0)
	return nil
}

// Success records that a call succeeded and adds its share.
func (b *Budget) Success() {
	now, t := b.now(), b.terms.Load()
	if last := b.lastSuccess.Load(); now-last < t.window/10 && int64(b.word.Load()&tokenMask) == t.cap {
		return // full and fresh: nothing to write, no cache line to fight over
	}
	b.add(now, t.perSuccess)
	b.lastSuccess.Store(now)
}

// Take spends cost if there is that much, and reports whether there was. A
// cost that is not positive is free.
func (b *Budget) Take(cost Cost) bool {
	return cost <= 0 || b.add(b.now(), -int64(cost)*tokenUnit)
}

// Throttled reports whether less than half of the tokens are left: a sign that
// much fails, at which nothing should be sent that is not needed. Source: gRFC
// A6, "gRPC Retry Design".
func (b *Budget) Throttled() bool {
	t := b.terms.Load()
	tokens, _ := b.paid(t, b.word.Load(), b.now())
	return tokens*2 < t.cap
}

// Tokens returns how much could be spent now.
func (b *Budget) Tokens() float64 {
	tokens, _ := b.paid(b.terms.Load(), b.word.Load(), b.now())
	return float64(tokens) / tokenUnit
}

// add pays the refill up to now and adds delta, unless that would leave less
// than nothing.
func (b *Budget) add(now, delta int64) bool {
	t := b.terms.Load()
	for {
		old := b.word.Load()
		tokens, at := b.paid(t, old, now)
		if tokens += delta; tokens < 0 {
			return false
		}
		next := uint64(at)<<tokenBits | uint64(min(tokens, t.cap))
		if old == next || b.word.CompareAndSwap(old, next) {
			return true
		}
	}
}

// paid returns the tokens of word with the refill up to now by the terms t, and
// the time up to which that refill is paid.
func (b *Budget) paid(t *terms, word uint64, now int64) (tokens, at int64) {
	tokens, at = min(int64(word&tokenMask), t.cap), int64(word>>tokenBits)
	if now <= at {
		return tokens, at
	}
	end := min(now, b.lastSuccess.Load()+t.window)
	earned := int64(float64(max(0, end-at)) * t.refill) // thousandths per millisecond = tokens per second
	switch {
	case end < now || t.refill == 0:
		at = now
	case earned > 0:
		at += int64(math.Ceil(float64(earned) / t.refill)) // what is left over adds up
	}
	return min(tokens+earned, t.cap), at
}

func (b *Budget) now() int64 { return time.Since(b.start).Milliseconds() }
