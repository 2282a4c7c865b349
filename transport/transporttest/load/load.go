package load

import (
	"cmp"
	"net/http"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// The kinds of loads, each with the settings that it takes.
const (
	// Poisson calls at Rate, each without regard to the others. The default.
	Poisson = "poisson"
	// Constant calls at Rate, evenly spaced, the first at Start.
	Constant = "constant"
	// Ramp is Poisson with a rate that goes evenly from Rate to To.
	Ramp = "ramp"
	// Burst makes Burst calls at Start and again after each Every.
	Burst = "burst"
	// Replay calls at the offsets in At, or those in File.
	Replay = "replay"
	// Closed has Workers that call one after the other and Think in between.
	Closed = "closed"
)

// AutoKey as the value of a header asks for a fresh value with each call, as an
// Idempotency-Key needs it.
const AutoKey = "auto"

// Load is one stream of calls. It is plain data; a zero field means its
// default. In JSON durations are strings such as "10s", and an unknown name is
// an error.
type Load struct {
	// Client is the host that calls and Service what it calls. Both required.
	Client, Service string
	// Method of the request. Default GET.
	Method string
	// Path of the request, with its query. Default "/".
	Path string
	// Body of the request. Default none.
	Body string
	// Header of the request. A value of [AutoKey] is replaced by a fresh one
	// for each call. Default none.
	Header map[string]string

	// Kind is one of the kinds above. Default Poisson.
	Kind string
	// Rate is the calls per second of Poisson and Constant, and those with
	// which a Ramp begins. At most 1e8.
	Rate float64
	// To is the calls per second with which a Ramp ends. At most 1e8.
	To float64
	// Burst is how many calls a Burst makes at once.
	Burst int
	// Every is the time from one Burst to the next. Default 0, only one.
	Every time.Duration
	// At lists when a Replay calls, as ascending offsets from Start.
	At []time.Duration
	// File names a file with the offsets of a Replay for [Load.Read], in the
	// forms that [ReadArrivals] knows.
	File string
	// Workers is how many calls of a Closed loop are open at once at most.
	Workers int
	// Think is how long a worker of a Closed loop waits after an answer.
	// Default 0.
	Think dist.Dist

	// Start is when the stream begins, as an offset from the start of the run.
	// Default 0.
	Start time.Duration
	// For is how long the stream goes on. Default 0, until the run ends.
	For time.Duration
	// Timeout is how long the client waits for one answer. Default 0, as long
	// as it takes.
	Timeout time.Duration
}

// WithDefaults returns l with Method, Path and Kind set if they were not.
func (l Load) WithDefaults() Load {
	l.Method = cmp.Or(l.Method, http.MethodGet)
	l.Path = cmp.Or(l.Path, "/")
	l.Kind = cmp.Or(l.Kind, Poisson)
	return l
}

// Open reports whether l is an open loop, in which calls begin when
// [Load.Arrivals] says.
func (l Load) Open() bool { return l.Kind != Closed }

// Until returns when l ends in a run that ends at end.
func (l Load) Until(end time.Duration) time.Duration {
	if l.For > 0 && l.For < end-l.Start {
		return l.Start + l.For
	}
	return end
}
