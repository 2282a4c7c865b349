package breaker

import "strconv"

// State is where a circuit stands. The numbers are those of the
// gabion_breaker_state metric.
type State uint8

const (
	// Closed lets calls through, all of them once the ramp is over.
	Closed State = iota
	// HalfOpen lets single probes through.
	HalfOpen
	// Open refuses every call.
	Open
)

// String returns "closed", "half-open" or "open".
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case HalfOpen:
		return "half-open"
	case Open:
		return "open"
	default:
		return "State(" + strconv.Itoa(int(s)) + ")"
	}
}

// MarshalText writes s as String does.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Mode says who decides: the counts or an operator. See [Breaker.Force].
type Mode uint8

const (
	// ModeAuto decides by the counts. It is the mode of a new breaker, unless
	// [Settings].Shadow.
	ModeAuto Mode = iota
	// ModeOpen refuses every call until the mode changes.
	ModeOpen
	// ModeClosed lets every call through and counts it, but never opens.
	ModeClosed
	// ModeDisabled lets every call through and counts nothing.
	ModeDisabled
	// ModeShadow counts, changes state and reports as ModeAuto would, but
	// refuses nothing: what would be refused passes and does not count.
	ModeShadow
)

// String returns "auto", "open", "closed", "disabled" or "shadow".
func (m Mode) String() string {
	switch m {
	case ModeAuto:
		return "auto"
	case ModeOpen:
		return "open"
	case ModeClosed:
		return "closed"
	case ModeDisabled:
		return "disabled"
	case ModeShadow:
		return "shadow"
	default:
		return "Mode(" + strconv.Itoa(int(m)) + ")"
	}
}

// MarshalText writes m as String does.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// decides reports whether the counts move the state in this mode.
func (m Mode) decides() bool { return m == ModeAuto || m == ModeShadow }
