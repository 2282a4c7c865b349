package transporttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// A Kind names what goes wrong.
type Kind string

// Faults of links: between the hosts that From and To name, in both directions
// unless OneWay is set.
const (
	// Latency makes data take Latency longer on its way.
	Latency Kind = "latency"
	// Stall loses packets with Probability; each is sent again after 200 ms,
	// then after twice as long, as TCP does, and all behind it wait.
	Stall Kind = "stall"
	// Reset breaks the connection with Probability, by piece of data.
	Reset Kind = "reset"
	// Partition lets nothing through. What is on its way is sent again until
	// the partition ends, by TCP's growing pauses.
	Partition Kind = "partition"
	// BlackHole swallows all data and answers nothing. Connections that met it
	// stay dead when it ends, as if the host behind them had been replaced.
	BlackHole Kind = "black-hole"
	// Refuse refuses new connections to To. Those that are open go on.
	Refuse Kind = "refuse"
	// Drip lets through Rate bytes per second and connection.
	Drip Kind = "drip"
)

// Faults of hosts, which On names.
const (
	// Crash kills the process: connections are reset, new ones refused, and
	// the registry notices when the instance's time to live is over. At the
	// end a new process starts. Silent kills the machine with it: then nothing
	// answers at all, and connections hang.
	Crash Kind = "crash"
	// Restart stops the process in order, as SIGTERM does, and starts a new
	// one at the end of the fault, or when the old one has ended if that is
	// later.
	Restart Kind = "restart"
	// Pause freezes the process, as a long garbage collection or SIGSTOP does:
	// its kernel still accepts connections and data, but nothing is read,
	// answered or sent.
	Pause Kind = "pause"
	// CPU makes all requests share Cores, each needing Work.
	CPU Kind = "cpu"
	// ClockJump sets the host's clock forward by Jump, backward if negative.
	// Handlers see it by Process.Now, callers by the Date header.
	ClockJump Kind = "clock-jump"
)

// Faults of handlers on the hosts that On names.
const (
	// Slow makes the handler wait for Latency first.
	Slow Kind = "slow"
	// Status answers with Status in place of the handler.
	Status Kind = "status"
	// Panic makes the handler panic.
	Panic Kind = "panic"
	// Cut breaks the connection after Bytes of the response's body.
	Cut Kind = "cut"
	// Queue serves Workers requests at a time, the others in their order; those
	// that find Backlog requests waiting are answered 503. A negative Backlog
	// is an unbounded one.
	Queue Kind = "queue"
)

// Faults of the registry, for the service that On names; "*" is all.
const (
	// RegistryOutage makes every read and write fail.
	RegistryOutage Kind = "registry-outage"
	// RegistryEmpty makes the registry say that there is nobody.
	RegistryEmpty Kind = "registry-empty"
	// RegistryStale keeps the list as it was when the fault began.
	RegistryStale Kind = "registry-stale"
	// RegistryDuplicate makes the list name every instance twice, the second
	// time under another ID.
	RegistryDuplicate Kind = "registry-duplicate"
	// RegistryHalf makes every second instance missing.
	RegistryHalf Kind = "registry-half"
)

// Everyone is the name that stands for all hosts and services.
const Everyone = "*"

// A Fault is one thing that goes wrong, as plain data. Which fields count
// depends on its Kind; one that does not count must be zero. In JSON durations
// are strings, and an unknown name is an error.
type Fault struct {
	Kind Kind
	// On is what a fault of hosts, handlers or the registry falls upon: the
	// name of a host such as "pricing-2", of a service, which is all of its
	// hosts, or "*".
	On string
	// From and To are the ends of a link, named like On. Empty is "*", and
	// "registry" is the registry, from which a Partition or a BlackHole cuts off.
	From, To string
	// OneWay confines a fault of a link to what goes from From to To.
	OneWay bool

	// At is when it begins, counted from when the network is told of it.
	At time.Duration
	// For is how long it lasts. Zero is until the end.
	For time.Duration
	// Probability is the share of the data or requests that it falls upon.
	// Zero is all.
	Probability float64

	Latency dist.Dist     // Latency, Slow
	Rate    int           // Drip: bytes per second
	Status  int           // Status
	Bytes   int           // Cut: how much of the body gets through
	Cores   float64       // CPU
	Work    dist.Dist     // CPU: of one core, by request
	Workers int           // Queue
	Backlog int           // Queue
	Jump    time.Duration // ClockJump
	Silent  bool          // Crash
}

// String tells the fault in a few words, as for a timeline.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(string(f.Kind))
	switch {
	case f.link():
		arrow := "<>"
		if f.OneWay {
			arrow = ">"
		}
		fmt.Fprintf(&b, " %s%s%s", name(f.From), arrow, name(f.To))
	case f.On != "":
		b.WriteString(" " + f.On)
	}
	if f.Status != 0 {
		fmt.Fprintf(&b, " %d", f.Status)
	}
	if f.Silent {
		b.WriteString(" silently")
	}
	if f.Probability != 0 {
		fmt.Fprintf(&b, " %.3g%%", 100*f.Probability)
	}
	fmt.Fprintf(&b, " at %v", f.At)
	if f.For != 0 {
		fmt.Fprintf(&b, " for %v", f.For)
	}
	return b.String()
}

func name(host string) string {
	if host == "" {
		return Everyone
	}
	return host
}

// kinds is, by kind, which fields it needs and which it may have beside On or
// From and To, At and For.
var kinds = map[Kind]struct {
	link  bool
	needs []string
	may   []string
}{
	Latency:           {link: true, needs: []string{"latency"}, may: []string{"probability"}},
	Stall:             {link: true, needs: []string{"probability"}},
	Reset:             {link: true, needs: []string{"probability"}},
	Partition:         {link: true},
	BlackHole:         {link: true},
	Refuse:            {link: true, may: []string{"probability"}},
	Drip:              {link: true, needs: []string{"rate"}},
	Crash:             {may: []string{"silent"}},
	Restart:           {},
	Pause:             {},
	CPU:               {needs: []string{"cores", "work"}},
	ClockJump:         {needs: []string{"jump"}},
	Slow:              {needs: []string{"latency"}, may: []string{"probability"}},
	Status:            {needs: []string{"status"}, may: []string{"probability"}},
	Panic:             {may: []string{"probability"}},
	Cut:               {may: []string{"bytes", "probability"}},
	Queue:             {needs: []string{"workers"}, may: []string{"backlog"}},
	RegistryOutage:    {},
	RegistryEmpty:     {},
	RegistryStale:     {},
	RegistryDuplicate: {},
	RegistryHalf:      {},
}

func (f Fault) link() bool { return kinds[f.Kind].link }

// registry reports whether f falls upon the registry.
func (f Fault) registry() bool { return strings.HasPrefix(string(f.Kind), "registry-") }

// fields are the ones that are set, beside those that every kind may have.
func (f Fault) fields() []string {
	var set []string
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"probability", f.Probability != 0}, {"latency", isSet(f.Latency)}, {"rate", f.Rate != 0},
		{"status", f.Status != 0}, {"bytes", f.Bytes != 0}, {"cores", f.Cores != 0}, {"work", isSet(f.Work)},
		{"workers", f.Workers != 0}, {"backlog", f.Backlog != 0}, {"jump", f.Jump != 0}, {"silent", f.Silent},
	} {
		if field.set {
			set = append(set, field.name)
		}
	}
	return set
}

// Validate reports, joined, everything that is wrong with f.
func (f Fault) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("transporttest: fault %q: "+format, append([]any{f.Kind}, args...)...))
	}
	kind, known := kinds[f.Kind]
	if !known {
		bad("unknown kind: want one of %s", strings.Join(kindNames(), ", "))
		return errors.Join(errs...)
	}
	if kind.link && f.On != "" {
		bad("it falls upon a link: name its ends with from and to, not on (%q)", f.On)
	}
	if !kind.link && (f.From != "" || f.To != "" || f.OneWay) {
		bad("it does not fall upon a link: name its victim with on, not from, to and one_way")
	}
	if !kind.link && f.On == "" {
		bad(`on is missing: name a host, a service or "*"`)
	}
	if f.On == registryHost && !f.registry() {
		bad("on %q: nothing runs there; use a fault of the registry, such as %q", f.On, RegistryOutage)
	}
	if !f.Kind.joins(f.From, f.To) {
		bad("a link to %q can only have %q or %q", registryHost, Partition, BlackHole)
	}
	set := f.fields()
	for _, n := range kind.needs {
		if !slices.Contains(set, n) {
			bad("%s is missing", n)
		}
	}
	for _, s := range set {
		if !slices.Contains(kind.needs, s) && !slices.Contains(kind.may, s) {
			bad("%s does not count for this kind", s)
		}
	}
	if f.At < 0 || f.For < 0 {
		bad("at %v, for %v: must not be negative", f.At, f.For)
	}
	if f.At > longest || f.For > longest {
		bad("at %v, for %v: want 100 years at most; for 0s is until the end", f.At, f.For)
	}
	if !(f.Probability >= 0 && f.Probability <= 1) {
		bad("probability %v: want 0 to 1", f.Probability)
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		bad("status %d: want 200 to 599", f.Status)
	}
	if f.Rate < 0 || f.Bytes < 0 || f.Workers < 0 {
		bad("rate %d, bytes %d, workers %d: must not be negative", f.Rate, f.Bytes, f.Workers)
	}
	if !(f.Cores >= 0 && f.Cores <= math.MaxFloat64) {
		bad("cores %g: want a number above 0", f.Cores)
	}
	for _, d := range []dist.Dist{f.Latency, f.Work} {
		if isSet(d) {
			if err := d.Validate(); err != nil {
				bad("%w", err)
			}
		}
	}
	return errors.Join(errs...)
}

// longest is a time that no run reaches, and of which sums do not overflow.
const longest = 100 * 365 * 24 * time.Hour

// joins reports whether faults of this kind can fall upon a link with these ends:
// of those to the registry only whether they get through counts.
func (k Kind) joins(from, to string) bool {
	return k == Partition || k == BlackHole || from != registryHost && to != registryHost
}

func kindNames() []string {
	var names []string
	for k := range kinds {
		names = append(names, string(k))
	}
	slices.Sort(names)
	return names
}

// faultJSON is the form of Fault in JSON.
type faultJSON struct {
	Kind        Kind              `json:"kind"`
	On          string            `json:"on,omitempty"`
	From        string            `json:"from,omitempty"`
	To          string            `json:"to,omitempty"`
	OneWay      bool              `json:"one_way,omitempty"`
	At          duration.Duration `json:"at,omitzero"`
	For         duration.Duration `json:"for,omitzero"`
	Probability float64           `json:"probability,omitzero"`
	Latency     dist.Dist         `json:"latency,omitzero"`
	Rate        int               `json:"rate,omitzero"`
	Status      int               `json:"status,omitzero"`
	Bytes       int               `json:"bytes,omitzero"`
	Cores       float64           `json:"cores,omitzero"`
	Work        dist.Dist         `json:"work,omitzero"`
	Workers     int               `json:"workers,omitzero"`
	Backlog     int               `json:"backlog,omitzero"`
	Jump        duration.Duration `json:"jump,omitzero"`
	Silent      bool              `json:"silent,omitempty"`
}

// MarshalJSON writes f with durations as strings, leaving out what is zero.
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{
		Kind: f.Kind, On: f.On, From: f.From, To: f.To, OneWay: f.OneWay,
		At: duration.Duration(f.At), For: duration.Duration(f.For), Probability: f.Probability,
		Latency: f.Latency, Rate: f.Rate, Status: f.Status, Bytes: f.Bytes, Cores: f.Cores, Work: f.Work,
		Workers: f.Workers, Backlog: f.Backlog, Jump: duration.Duration(f.Jump), Silent: f.Silent,
	})
}

// UnmarshalJSON reads what MarshalJSON writes. It does not validate.
func (f *Fault) UnmarshalJSON(b []byte) error {
	var j faultJSON
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("transporttest: fault: %w", err)
	}
	*f = Fault{
		Kind: j.Kind, On: j.On, From: j.From, To: j.To, OneWay: j.OneWay,
		At: time.Duration(j.At), For: time.Duration(j.For), Probability: j.Probability,
		Latency: j.Latency, Rate: j.Rate, Status: j.Status, Bytes: j.Bytes, Cores: j.Cores, Work: j.Work,
		Workers: j.Workers, Backlog: j.Backlog, Jump: time.Duration(j.Jump), Silent: j.Silent,
	}
	return nil
}

func isSet(d dist.Dist) bool { return !reflect.ValueOf(d).IsZero() }
