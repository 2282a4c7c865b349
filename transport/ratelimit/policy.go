package ratelimit

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// Whom a [Policy] counts together: the values of [Policy.Per].
const (
	// PerClient counts each client for itself.
	PerClient = "client"
	// PerAll counts all clients together.
	PerAll = "all"
)

// A Policy says how many requests are granted. It is plain data, and a zero
// field means its default. In JSON durations are strings, and an unknown name is
// an error.
//
// A client is granted Burst requests at once, and after that Requests per
// Window, evenly: it need not wait for a window to end.
type Policy struct {
	// Name stands for the policy in the response's fields, in printable ASCII.
	// Default "default". Policies whose limiters wrap each other need names of
	// their own.
	Name string
	// Requests is how many are granted in a Window. It has no default.
	Requests int
	// Window is the time for that, in whole seconds. Default 1 s.
	Window time.Duration
	// Burst is how many are granted at once to a client that has not asked for a
	// while. Default Requests.
	Burst int
	// Per says whom to count together: PerClient, the default, or PerAll.
	Per string
	// Keys is how many clients are remembered at least, rounded up to a power of
	// two; each takes 17 bytes. Default 131072. A client need not be remembered
	// for longer than it takes to be granted Burst again, so twice the number of
	// clients that come in such a time is plenty. With more of them than Keys,
	// those who are new find that others have used a part of what they are
	// granted: never more than one of those who came before them has used.
	Keys int
}

// The bounds of a policy.
const (
	defaultKeys = 1 << 17
	maxKeys     = 1 << 24
	maxWindow   = 366 * 24 * time.Hour
	maxName     = 64
	// minInterval is the least time between two requests on average: less could
	// not be told apart from rounding.
	minInterval = time.Microsecond
)

// WithDefaults returns p with every zero field set to its default.
func (p Policy) WithDefaults() Policy {
	if p.Name == "" {
		p.Name = "default"
	}
	if p.Window == 0 {
		p.Window = time.Second
	}
	if p.Burst == 0 {
		p.Burst = p.Requests
	}
	if p.Per == "" {
		p.Per = PerClient
	}
	if p.Keys == 0 {
		p.Keys = defaultKeys
	}
	return p
}

// Validate reports, joined, everything that is wrong with p.
func (p Policy) Validate() error {
	p = p.WithDefaults()
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("ratelimit: "+format, args...))
	}
	if len(p.Name) > maxName || !printable(p.Name) {
		bad("name %.80q: must be printable ASCII of at most %d bytes", p.Name, maxName)
	}
	if p.Window < time.Second || p.Window > maxWindow || p.Window%time.Second != 0 {
		bad("window %v: must be whole seconds, at least one and at most a year", p.Window)
	}
	switch {
	case p.Requests <= 0:
		bad("requests %d: must be positive", p.Requests)
	case p.interval() < minInterval:
		bad("requests %d in %v: must be at most one in %v", p.Requests, p.Window, minInterval)
	case p.Burst < 0 || time.Duration(p.Burst) > maxWindow/p.interval():
		bad("burst %d: must be positive, and granted again within a year", p.Burst)
	}
	if p.Per != PerClient && p.Per != PerAll {
		bad("per %.80q: must be %q or %q", p.Per, PerClient, PerAll)
	}
	if p.Keys < 0 || p.Keys > maxKeys {
		bad("keys %d: must be at most %d", p.Keys, maxKeys)
	}
	return errors.Join(errs...)
}

// interval returns the average time between two requests.
func (p *Policy) interval() time.Duration { return p.Window / time.Duration(p.Requests) }

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

type policyJSON struct {
	Name     string            `json:"name,omitzero"`
	Requests int               `json:"requests,omitzero"`
	Window   duration.Duration `json:"window,omitzero"`
	Burst    int               `json:"burst,omitzero"`
	Per      string            `json:"per,omitzero"`
	Keys     int               `json:"keys,omitzero"`
}

// MarshalJSON writes the fields that are set.
func (p Policy) MarshalJSON() ([]byte, error) {
	return json.Marshal(policyJSON{p.Name, p.Requests, duration.Duration(p.Window), p.Burst, p.Per, p.Keys})
}

// UnmarshalJSON reads what the object names and leaves the rest of p as it was.
func (p *Policy) UnmarshalJSON(b []byte) error {
	j := policyJSON{p.Name, p.Requests, duration.Duration(p.Window), p.Burst, p.Per, p.Keys}
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("ratelimit: policy: %w", err)
	}
	*p = Policy{j.Name, j.Requests, time.Duration(j.Window), j.Burst, j.Per, j.Keys}
	return nil
}
