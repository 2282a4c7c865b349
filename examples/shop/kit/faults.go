package kit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// Mode says what [Faults] does to a request.
type Mode string

// The modes of a [Fault].
const (
	ModeNone Mode = "none" // requests pass
	ModeSlow Mode = "slow" // requests wait, then pass
	ModeFail Mode = "fail" // requests are answered 503
)

// maxDelay bounds how long a slow instance holds a request.
const maxDelay = time.Minute

// Fault is what an instance does wrong. The zero Fault is nothing.
type Fault struct {
	Mode Mode
	// Delay is how long [ModeSlow] holds a request: above 0, at most a minute.
	Delay time.Duration
	// Rate is the share of requests that are hit, above 0 and at most 1.
	Rate float64
}

// faultJSON is a Fault on the wire; the delay is a string like "500ms".
type faultJSON struct {
	Mode  Mode     `json:"mode"`
	Delay string   `json:"delay,omitempty"`
	Rate  *float64 `json:"rate,omitempty"`
}

// MarshalJSON writes {"mode":"slow","delay":"500ms","rate":0.5}.
func (f Fault) MarshalJSON() ([]byte, error) {
	if f.Mode == "" || f.Mode == ModeNone {
		return json.Marshal(faultJSON{Mode: ModeNone})
	}
	w := faultJSON{Mode: f.Mode, Rate: &f.Rate}
	if f.Mode == ModeSlow {
		w.Delay = f.Delay.String()
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes. A missing rate is 1.
func (f *Fault) UnmarshalJSON(data []byte) error {
	var w faultJSON
	if err := transport.StrictJSON(data, &w); err != nil {
		return err
	}
	read := Fault{Mode: w.Mode, Rate: 1}
	if w.Rate != nil {
		read.Rate = *w.Rate
	}
	if w.Delay != "" {
		d, err := time.ParseDuration(w.Delay)
		if err != nil {
			return errors.New(`delay must read like "500ms"`)
		}
		read.Delay = d
	}
	if err := read.validate(); err != nil {
		return err
	}
	*f = read
	return nil
}

func (f Fault) validate() error {
	switch f.Mode {
	case ModeNone, ModeFail:
	case ModeSlow:
		if f.Delay <= 0 || f.Delay > maxDelay {
			return fmt.Errorf("delay must be above 0 and at most %v", maxDelay)
		}
	default:
		return errors.New("mode must be none, slow or fail")
	}
	if !(f.Rate > 0 && f.Rate <= 1) {
		return errors.New("rate must be above 0 and at most 1")
	}
	return nil
}

// Faults is a switch that makes one instance misbehave on demand, so that its
// callers can be watched while they cope. The zero Faults does nothing. It may
// be used by many goroutines at once.
//
// Faults itself is the handler of the switch: GET reads the [Fault], PUT sets
// it. It belongs on the admin listener and nowhere else.
type Faults struct {
	fault atomic.Pointer[Fault]
}

// Set replaces the fault. An invalid one is refused and changes nothing.
func (f *Faults) Set(fault Fault) error {
	if err := fault.validate(); err != nil {
		return fmt.Errorf("kit: fault: %w", err)
	}
	f.fault.Store(&fault)
	return nil
}

// Current returns the fault in force.
func (f *Faults) Current() Fault {
	if p := f.fault.Load(); p != nil {
		return *p
	}
	return Fault{Mode: ModeNone}
}

// Wrap returns next behind the switch. A slow request that its caller gives up
// ends at once and never reaches next.
func (f *Faults) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := f.Current()
		if fault.Mode == ModeNone || rand.Float64() >= fault.Rate {
			next.ServeHTTP(w, r)
			return
		}
		if fault.Mode == ModeFail {
			transport.WriteProblem(w, r, transport.Problem{Status: http.StatusServiceUnavailable, Detail: "This instance was told to fail."})
			return
		}
		wait := time.NewTimer(fault.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// ServeHTTP answers GET with the fault in force and PUT by setting it.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPut:
		var fault Fault
		if err := readFault(w, r, &fault); err != nil {
			transport.WriteProblem(w, r, transport.Problem{Status: http.StatusBadRequest, Detail: err.Error()})
			return
		}
		f.fault.Store(&fault)
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		transport.WriteProblem(w, r, transport.Problem{Status: http.StatusMethodNotAllowed})
		return
	}
	_ = transport.WriteJSON(w, http.StatusOK, f.Current()) // a caller that left needs no answer
}

func readFault(w http.ResponseWriter, r *http.Request, fault *Fault) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10))
	if err != nil {
		return errors.New("the body is longer than 4 KiB or was cut off")
	}
	return json.Unmarshal(body, fault)
}
