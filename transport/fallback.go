package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// DefaultMaxFallbacks is how many fallbacks of a service run at once.
const DefaultMaxFallbacks = 64

// HeaderFallback marks a response that a client's fallback gave: last_good,
// service or value. What a [FallbackFunc] returns is not marked.
const HeaderFallback = "X-Gabion-Fallback"

// A Fallback says what answers calls that their service refused, failed, or
// answered with 5xx, when the caller has not given up. What is set is tried in
// the order of the fields, after the function of [WithFallback]; if nothing
// helps, the caller gets what the service gave. It is for GET, HEAD and OPTIONS
// without a body: a failed write must look like one. The failed call counts as
// failed, for the breaker too, whatever the fallback does.
//
// In JSON durations are strings, and an unknown name is an error.
type Fallback struct {
	// LastGood answers a GET with the last good response to the same request,
	// if it is no older than this. Responses with 2xx whose body was read to its
	// end are remembered, up to 256 KiB each and 8 MiB or 1024 of them for a
	// service, the longest unused forgotten first. Same are requests with the
	// same URL and header, Authorization and Cookie included; tracing, request
	// ids and deadlines do not count. What sets a cookie or says no-store is not
	// remembered. Age says how old the answer is. Zero remembers nothing.
	LastGood time.Duration
	// Service names another service that gets the same request, with an
	// allow-list of header fields only: what to accept, who asks (User-Agent),
	// request ids, tracing without baggage, and deadlines; no credentials. It
	// has what is left of the call's time, and no fallback of its own.
	Service string
	// Value is an answer that is always there.
	Value *FallbackValue
	// MaxInFlight is how many fallbacks of the service run at once, the
	// function of [WithFallback] included; beyond it callers get what the
	// service gave. Default 64.
	MaxInFlight int
}

// A FallbackValue is a response that is known beforehand.
type FallbackValue struct {
	// Status is from 200 to 599. Default 200.
	Status int
	// ContentType is that of the body. Default application/json for Body, and
	// text/plain in UTF-8 for Text.
	ContentType string
	// Body is a JSON document.
	Body json.RawMessage
	// Text is any other body. Only one of the two can be set.
	Text string
}

type fallbackJSON struct {
	LastGood    duration.Duration `json:"last_good,omitzero"`
	Service     string            `json:"service,omitzero"`
	Value       *FallbackValue    `json:"value,omitempty"`
	MaxInFlight int               `json:"max_in_flight,omitzero"`
}

type fallbackValueJSON struct {
	Status      int             `json:"status,omitzero"`
	ContentType string          `json:"content_type,omitzero"`
	Body        json.RawMessage `json:"body,omitempty"`
	Text        string          `json:"text,omitzero"`
}

// MarshalJSON writes the fields that are set.
func (f Fallback) MarshalJSON() ([]byte, error) {
	return json.Marshal(fallbackJSON{duration.Duration(f.LastGood), f.Service, f.Value, f.MaxInFlight})
}

// UnmarshalJSON reads what the object names and leaves the rest of f as it was.
func (f *Fallback) UnmarshalJSON(data []byte) error {
	j := fallbackJSON{duration.Duration(f.LastGood), f.Service, nil, f.MaxInFlight}
	if f.Value != nil {
		v := *f.Value // the decoder writes into what it is given
		j.Value = &v
	}
	if err := strictjson.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("transport: fallback: %w", err)
	}
	*f = Fallback{time.Duration(j.LastGood), j.Service, j.Value, j.MaxInFlight}
	return nil
}

// MarshalJSON writes the fields that are set.
func (v FallbackValue) MarshalJSON() ([]byte, error) { return json.Marshal(fallbackValueJSON(v)) }

// UnmarshalJSON reads what the object names and leaves the rest of v as it was.
func (v *FallbackValue) UnmarshalJSON(data []byte) error {
	j := fallbackValueJSON(*v)
	j.Body = nil // the decoder would write into it
	if err := strictjson.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("transport: fallback value: %w", err)
	}
	if j.Body == nil {
		j.Body = v.Body
	}
	*v = FallbackValue(j)
	return nil
}

// IsZero reports whether nothing is set.
func (f Fallback) IsZero() bool { return f == Fallback{} }

// Validate reports every setting that makes no sense, joined. The zero Fallback
// is valid: there is none.
func (f Fallback) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("transport: fallback: "+format, args...))
	}
	if f.LastGood < 0 {
		bad("last_good is %v, must not be negative", f.LastGood)
	}
	if f.MaxInFlight < 0 {
		bad("max_in_flight is %d, must not be negative", f.MaxInFlight)
	}
	if f.Service != "" && !external(f.Service) {
		if err := discovery.ValidateName(f.Service); err != nil {
			bad("service: %w", err)
		}
	}
	if v := f.Value; v != nil {
		if v.Status != 0 && (v.Status < 200 || v.Status > 599) {
			bad("value.status is %d, want 200 to 599", v.Status)
		}
		if len(v.Body) > 0 && !json.Valid(v.Body) {
			bad("value.body is not JSON; other bodies are value.text")
		}
		if len(v.Body) > 0 && v.Text != "" {
			bad("value has both body and text")
		}
	}
	return errors.Join(errs...)
}

func (f *Fallback) maxInFlight() int64 {
	if f.MaxInFlight == 0 {
		return DefaultMaxFallbacks
	}
	return int64(f.MaxInFlight)
}

// A FallbackFunc answers a call in place of a service that could not. err is
// the [*Error] that the caller would have got, or nil when the service
// answered with a server error. ctx is the caller's; what remains of its
// deadline bounds the fallback; the request's body has been used. The response
// must be complete as from an http.RoundTripper; returning an error gives the
// caller that error joined with err.
type FallbackFunc func(ctx context.Context, req *http.Request, err error) (*http.Response, error)

// WithFallback sets what answers calls to service that were refused or failed,
// or were answered with 5xx, when the caller has not given up. An empty
// service stands for all that have none of their own. What the policy says of
// fallbacks comes after it; no more of them run at once than
// [Fallback.MaxInFlight].
func WithFallback(service string, f FallbackFunc) ClientOption {
	return clientOption(func(c *clientConfig) {
		if service == "" {
			c.everything = f
			return
		}
		c.fallbacks[service] = f
	})
}

// A FallbackObserver is an [Observer] that is told of fallbacks too.
type FallbackObserver interface {
	// Fallback is called for each fallback that was tried for a call, in the
	// goroutine of the call.
	Fallback(e FallbackEvent)
}

// A FallbackEvent is one fallback that was tried.
type FallbackEvent struct {
	Service string
	// Route is the pattern of the policy's route that the call went by; empty if
	// it went by the service's own.
	Route  string
	Method string
	// Resolved is as in [Call].
	Resolved bool
	Kind     FallbackKind
	Outcome  FallbackOutcome
	// Err is why it has not answered, when it failed.
	Err error
}

// A FallbackKind says what answers.
type FallbackKind int8

// The kinds of fallbacks, in the order in which they are tried.
const (
	FallbackFunction FallbackKind = iota
	FallbackLastGood
	FallbackService
	FallbackFixed // a value
)

// String returns "function", "last_good", "service" or "value".
func (k FallbackKind) String() string {
	switch k {
	case FallbackFunction:
		return "function"
	case FallbackLastGood:
		return "last_good"
	case FallbackService:
		return "service"
	default:
		return "value"
	}
}

// A FallbackOutcome says what came of a fallback.
type FallbackOutcome int8

// The outcomes of a fallback.
const (
	// FallbackAnswered: the caller got its answer.
	FallbackAnswered FallbackOutcome = iota
	// FallbackMissing: no good response is remembered, or it is too old.
	FallbackMissing
	// FallbackFailed: it had none either.
	FallbackFailed
	// FallbackRefused: too many were running; none was tried.
	FallbackRefused
)

// String returns the outcome in lower case.
func (o FallbackOutcome) String() string {
	switch o {
	case FallbackAnswered:
		return "answered"
	case FallbackMissing:
		return "missing"
	case FallbackFailed:
		return "failed"
	default:
		return "refused"
	}
}

// Fallback tells those of the observers that want to know.
func (os observers) Fallback(e FallbackEvent) {
	for i := range os {
		if o, ok := os[len(os)-1-i].(FallbackObserver); ok {
			o.Fallback(e)
		}
	}
}
