package retry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// Defaults of [Policy], used where a field is zero.
const (
	DefaultAttempts      = 3
	DefaultBase          = 25 * time.Millisecond
	DefaultCap           = 250 * time.Millisecond
	DefaultMaxRetryAfter = 30 * time.Second
	DefaultBodyBytes     = 64 << 10
)

// maxAttempts bounds Policy.Attempts: more is a mistake, not a policy.
const maxAttempts = 20

// Policy says how one call is retried. A zero field means its default. In JSON
// durations are strings such as "25ms", and an unknown name is an error.
type Policy struct {
	// Attempts bounds how often a call is sent, the first time included.
	// Default 3; 1 means no retries. At most 20.
	Attempts int
	// Base is the upper bound of the first backoff; each further one doubles
	// it. Default 25 ms: short, because the retry of one call is to be soon,
	// and it spreads what failed at one moment over these 25 ms, not further.
	// Where many callers fail together and the service has no headroom for
	// their retries, a longer one spreads them better: with 1 s no 50 ms hold
	// more than about a twentieth of the first retries.
	Base time.Duration
	// Cap bounds the upper bound itself. Default 250 ms. Not below Base.
	Cap time.Duration
	// MaxRetryAfter bounds how long a server may ask to be left alone. A
	// longer wish is cut to it. Default 30 s, which is also the most.
	MaxRetryAfter time.Duration
	// Statuses lists the response statuses worth another attempt. Nil means
	// 429, 502, 503 and 504; an empty list means none.
	Statuses []int
	// BodyBytes bounds how much of a request body without GetBody is kept for
	// replay; a longer body is sent once. Default 64 KiB; negative keeps none.
	BodyBytes int
	// Budget bounds the extra attempts of all calls together.
	Budget BudgetPolicy
}

// MaxAttempts returns how often a call is sent at most.
func (p *Policy) MaxAttempts() int { return cmp.Or(p.Attempts, DefaultAttempts) }

// BodyCap returns how many bytes of a request body are kept for replay at most.
func (p *Policy) BodyCap() int { return max(0, cmp.Or(p.BodyBytes, DefaultBodyBytes)) }

// RetryAfterCap returns how long a server may ask to be left alone at most.
func (p *Policy) RetryAfterCap() time.Duration { return cmp.Or(p.MaxRetryAfter, DefaultMaxRetryAfter) }

// WithDefaults returns p with every zero field set to its default. A given Base
// above the default Cap raises Cap to it.
func (p Policy) WithDefaults() Policy {
	p.Attempts = cmp.Or(p.Attempts, DefaultAttempts)
	p.Base = cmp.Or(p.Base, min(DefaultBase, cmp.Or(p.Cap, DefaultBase)))
	p.Cap = cmp.Or(p.Cap, max(DefaultCap, p.Base))
	p.MaxRetryAfter = cmp.Or(p.MaxRetryAfter, DefaultMaxRetryAfter)
	p.BodyBytes = cmp.Or(p.BodyBytes, DefaultBodyBytes)
	p.Budget = p.Budget.WithDefaults()
	if p.Statuses == nil {
		p.Statuses = []int{
			http.StatusTooManyRequests, http.StatusBadGateway,
			http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		}
	}
	return p
}

// Status reports whether a response with this status is worth another attempt.
func (p *Policy) Status(status int) bool {
	if p.Statuses != nil {
		return slices.Contains(p.Statuses, status)
	}
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Validate reports, joined, everything that is wrong with p. The zero Policy is
// valid.
func (p Policy) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("retry: "+format, args...))
	}
	if p.Attempts < 0 || p.Attempts > maxAttempts {
		bad("attempts %d: want 1 to %d", p.Attempts, maxAttempts)
	}
	if p.Base < 0 {
		bad("base %v: must not be negative", p.Base)
	}
	if p.Cap < 0 {
		bad("cap %v: must not be negative", p.Cap)
	}
	if p.Base > 0 && p.Cap > 0 && p.Cap < p.Base {
		bad("cap %v: must not be below base %v", p.Cap, p.Base)
	}
	if p.MaxRetryAfter < 0 || p.MaxRetryAfter > DefaultMaxRetryAfter {
		bad("max_retry_after %v: want 0s to %v", p.MaxRetryAfter, DefaultMaxRetryAfter)
	}
	for _, s := range p.Statuses {
		if s < 400 || s > 599 {
			bad("statuses: %d is not an error status", s)
		}
	}
	return errors.Join(append(errs, p.Budget.Validate())...)
}

// policyJSON is the form of Policy in JSON.
type policyJSON struct {
	Attempts      int               `json:"attempts,omitempty"`
	Base          duration.Duration `json:"base,omitempty"`
	Cap           duration.Duration `json:"cap,omitempty"`
	MaxRetryAfter duration.Duration `json:"max_retry_after,omitempty"`
	Statuses      []int             `json:"statuses,omitzero"`
	BodyBytes     int               `json:"body_bytes,omitempty"`
	Budget        BudgetPolicy      `json:"budget,omitzero"`
}

// MarshalJSON writes p with durations as strings, leaving out what is zero.
func (p Policy) MarshalJSON() ([]byte, error) { return json.Marshal(p.json()) }

func (p Policy) json() policyJSON {
	return policyJSON{
		Attempts: p.Attempts, Base: duration.Duration(p.Base), Cap: duration.Duration(p.Cap),
		MaxRetryAfter: duration.Duration(p.MaxRetryAfter), Statuses: p.Statuses, BodyBytes: p.BodyBytes, Budget: p.Budget,
	}
}

// UnmarshalJSON reads what the object names and leaves the rest of p as it was,
// so that one document can be laid over another. After an error p is unchanged.
func (p *Policy) UnmarshalJSON(b []byte) error {
	j := p.json()
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("retry: policy: %w", err)
	}
	*p = Policy{
		Attempts: j.Attempts, Base: time.Duration(j.Base), Cap: time.Duration(j.Cap),
		MaxRetryAfter: time.Duration(j.MaxRetryAfter), Statuses: j.Statuses, BodyBytes: j.BodyBytes, Budget: j.Budget,
	}
	return nil
}
