package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// A Fleet is what is known of the services that call each other.
type Fleet struct {
	Services []Service
}

// A Service is one of a fleet.
type Service struct {
	Name string
	// Policies are those by which it calls others.
	Policies transport.Policies
	// Calls are the services that it calls, beside those that Policies name.
	Calls []Call
	// Fallbacks are the services for which its client has a function of
	// [transport.WithFallback]; an empty name stands for all.
	Fallbacks []string
	// Cache: its client has one, of transport.WithCache.
	Cache bool
	// Unmarked: as a server it does not say, by X-Gabion-No-Retry, that it has
	// retried already. A service of gabion does.
	Unmarked bool
	// Server are the limits of its server.
	Server transport.ServerSettings
	// DrainDelay and ShutdownTimeout are how it ends. Default 2 s and 15 s.
	DrainDelay, ShutdownTimeout time.Duration
	// Grace is how long it has to end before it is killed. Default 30 s, as in
	// Kubernetes.
	Grace time.Duration
}

// A Call is an edge of the fleet.
type Call struct {
	Service string
	// PerSecond is how many calls are usual; zero if that is not known.
	PerSecond float64
}

// A Severity says how much a finding matters.
type Severity int8

// The severities.
const (
	// Info: it may be meant so.
	Info Severity = iota
	// Warning: it works, but not as it seems to.
	Warning
	// Error: it will fail when it is needed.
	Error
)

// String returns the severity in lower case.
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Error:
		return "error"
	default:
		return "Severity(" + strconv.Itoa(int(s)) + ")"
	}
}

// MarshalText writes s as String does.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Code names a kind of finding.
type Code string

// The kinds of findings.
const (
	// InvalidPolicy: a client would refuse it.
	InvalidPolicy Code = "invalid_policy"
	// InvertedTimeout: a caller waits less than what it calls may take for a call
	// of its own.
	InvertedTimeout Code = "inverted_timeout"
	// AttemptFillsTimeout: one attempt may use up the time of the whole call.
	AttemptFillsTimeout Code = "attempt_fills_timeout"
	// WriteTimeout: a server cuts off responses for which a caller still waits.
	WriteTimeout Code = "write_timeout"
	// RetryAmplification: retries multiply from hop to hop.
	RetryAmplification Code = "retry_amplification"
	// CallCycle: services call each other in a circle.
	CallCycle Code = "call_cycle"
	// HedgedWrite: a write may be sent twice without a failure.
	HedgedWrite Code = "hedged_write"
	// HedgeTooLate: a call is over before it would be hedged.
	HedgeTooLate Code = "hedge_too_late"
	// DrainOverGrace: the process is killed before it has drained.
	DrainOverGrace Code = "drain_over_grace"
	// ShutdownCutsCalls: a server ends before the calls that it serves may.
	ShutdownCutsCalls Code = "shutdown_cuts_calls"
	// MissingFallback: nothing answers when a service does not.
	MissingFallback Code = "missing_fallback"
	// FallbackToItself: what answers for a service is the service.
	FallbackToItself Code = "fallback_to_itself"
	// BreakerNeverOpens: there are never enough calls for the breaker to judge.
	BreakerNeverOpens Code = "breaker_never_opens"
	// BreakerNeverCloses: a probe counts as failed while it may still succeed.
	BreakerNeverCloses Code = "breaker_never_closes"
	// BulkheadTooSmall: the usual calls do not fit.
	BulkheadTooSmall Code = "bulkhead_too_small"
	// BulkheadWithoutEffect: a route may have more calls than its service.
	BulkheadWithoutEffect Code = "bulkhead_without_effect"
	// NoCache: a route is cached and there is no cache.
	NoCache Code = "no_cache"
	// Shadowed: a limit only tells what it would do.
	Shadowed Code = "shadowed"
)

// A Finding is one thing that makes no sense.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// Service is whose setting it is.
	Service string `json:"service"`
	// Callee is the service that is called, if it is about calls, and Route the
	// pattern, if it is about some of them.
	Callee string `json:"callee,omitempty"`
	Route  string `json:"route,omitempty"`
	// Message says what is wrong and what to do.
	Message string `json:"message"`
}

// String returns the finding in a line.
func (f Finding) String() string {
	where := f.Service
	if f.Callee != "" {
		where += " -> " + f.Callee
	}
	if f.Route != "" {
		where += " " + strconv.Quote(f.Route)
	}
	return fmt.Sprintf("%v: %s: %s: %s", f.Severity, where, f.Code, f.Message)
}

// Check returns what makes no sense in f, the most severe first.
func Check(f Fleet) []Finding {
	c := &checkup{services: f.Services, byName: map[string]*Service{}}
	for i := range f.Services {
		c.byName[f.Services[i].Name] = &f.Services[i]
	}
	for i := range f.Services {
		s := &f.Services[i]
		c.lifecycle(s)
		for _, call := range s.calls() {
			c.call(s, call)
		}
		c.amplification(s)
	}
	slices.SortStableFunc(c.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Callee, b.Callee), cmp.Compare(a.Route, b.Route))
	})
	return c.found
}

// A checkup is one run of Check.
type checkup struct {
	services []Service
	byName   map[string]*Service
	found    []Finding
}

// edge is where a finding is.
type edge struct{ service, callee, route string }

func (c *checkup) add(e edge, s Severity, code Code, format string, args ...any) {
	c.found = append(c.found, Finding{
		Code: code, Severity: s, Service: e.service, Callee: e.callee, Route: e.route,
		Message: fmt.Sprintf(format, args...),
	})
}

// calls returns what s calls, each service once, in the order of their names.
func (s *Service) calls() []Call {
	rates := map[string]float64{}
	for name := range s.Policies.Services {
		rates[name] = 0
	}
	for _, call := range s.Calls {
		rates[call.Service] += call.PerSecond
	}
	all := make([]Call, 0, len(rates))
	for name, rate := range rates {
		all = append(all, Call{name, rate})
	}
	slices.SortFunc(all, func(a, b Call) int { return cmp.Compare(a.Service, b.Service) })
	return all
}

// policy returns by what s calls service.
func (s *Service) policy(service string) transport.Policy {
	if p, ok := s.Policies.Services[service]; ok {
		return p
	}
	return s.Policies.Default
}
