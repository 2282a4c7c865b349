package discovery

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Instance is one running copy of a service. It is a value: whoever is given
// one owns it, its Tags and Meta included.
type Instance struct {
	// ID tells this copy from every other copy of every service. It must not
	// change while the copy lives; statistics of balancers hang on it.
	ID string
	// Service is the name callers use, as in http://pricing/v1/quote.
	Service string
	// Addr is host:port as a caller dials it; never a wildcard, never port 0.
	Addr string
	// Zone and Version are free text and may be empty.
	Zone, Version string
	// Weight is the share of traffic relative to the other instances. Zero
	// means the default of 1; a negative weight means drained: no new calls.
	Weight int
	// Tags and Meta travel with the instance, where the backend can carry them.
	Tags []string
	Meta map[string]string
}

// Clone returns a copy that shares no memory with in.
func (in Instance) Clone() Instance {
	in.Tags = slices.Clone(in.Tags)
	in.Meta = maps.Clone(in.Meta)
	return in
}

// Equal reports whether two instances say the same. A nil and an empty Tags or
// Meta are the same.
func (in Instance) Equal(o Instance) bool {
	return in.ID == o.ID && in.Service == o.Service && in.Addr == o.Addr &&
		in.Zone == o.Zone && in.Version == o.Version && in.Weight == o.Weight &&
		slices.Equal(in.Tags, o.Tags) && maps.Equal(in.Meta, o.Meta)
}

// Validate reports, joined, everything that keeps in from being registered: no
// ID, a bad service name (see [ValidateName]), an address that is not
// host:port, a wildcard host, or port 0.
func (in Instance) Validate() error {
	var errs []error
	if in.ID == "" {
		errs = append(errs, errors.New("discovery: instance without an ID"))
	}
	if err := ValidateName(in.Service); err != nil {
		errs = append(errs, err)
	}
	if err := ValidateAddr(in.Addr); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ValidateAddr reports why addr cannot be given to callers: it must be
// host:port with a port from 1 to 65535 and a host that is an IP address, but
// no wildcard, or a host name of letters, digits, dots, hyphens and
// underscores.
func ValidateAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("discovery: address %.300q: want host:port", addr)
	}
	if !dialable(host) {
		return fmt.Errorf("discovery: address %.300q names no host that a caller could dial", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("discovery: address %.300q: port must be 1 to 65535", addr)
	}
	return nil
}

// dialable reports whether host is an address or could be a host name.
func dialable(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.Unmap().WithZone("").IsUnspecified() && plain(ip.Zone())
	}
	return host != "" && len(host) <= 253 && plain(host)
}

// plain reports whether s holds nothing but what host names are made of.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(".-_", c))
	})
}

// ValidateName reports why name cannot be the name of a service. A name is a
// DNS label, so that it fits in a URL, a registry path and a DNS query without
// escaping: 1 to 63 ASCII letters, digits and hyphens, with a letter or digit
// at both ends. Names that reach a registry from outside pass through here.
func ValidateName(name string) error {
	if name == "" || len(name) > 63 {
		return fmt.Errorf("%w: %.70q: want 1 to 63 characters", ErrBadName, name)
	}
	if name[0] == '-' || name[len(name)-1] == '-' {
		return fmt.Errorf("%w: %q: a hyphen stands at the end", ErrBadName, name)
	}
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return fmt.Errorf("%w: %q: only letters, digits and hyphens", ErrBadName, name)
		}
	}
	return nil
}

// Sort puts instances in the order that every Resolver yields: by ID, then by
// address.
func Sort(list []Instance) {
	slices.SortFunc(list, func(a, b Instance) int {
		if c := strings.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		return strings.Compare(a.Addr, b.Addr)
	})
}

// CloneList returns a copy of list that shares no memory with it and is never
// nil. Backends yield such copies of the lists that they keep.
func CloneList(list []Instance) []Instance {
	out := make([]Instance, len(list))
	for i, in := range list {
		out[i] = in.Clone()
	}
	return out
}

// Errors that callers ask for with errors.Is.
var (
	// ErrBadName: a service name that no registry is asked for.
	ErrBadName = errors.New("discovery: bad service name")
	// ErrUnknownScheme: no opener is there for the URL's scheme.
	ErrUnknownScheme = errors.New("discovery: unknown scheme")
	// ErrReadOnly: the backend cannot register, as static and DNS cannot.
	ErrReadOnly = errors.New("discovery: backend is read-only")
	// ErrClosed: the backend or directory has been closed.
	ErrClosed = errors.New("discovery: closed")
)

// Status is what a registered instance says of itself.
type Status int8

// The statuses, from bad to good.
const (
	Critical Status = iota // must not be called
	Warning                // degraded, may be called
	Passing                // may be called
)

// String returns "critical", "warning" or "passing".
func (s Status) String() string {
	switch s {
	case Passing:
		return "passing"
	case Warning:
		return "warning"
	default:
		return "critical"
	}
}

// StatusFunc returns the status of the instance now, and a channel that is
// closed when the status may have changed. It is called often and must answer
// at once. The channel may be nil for a status that never changes. A nil
// StatusFunc stands for an instance that is always passing.
type StatusFunc func() (Status, <-chan struct{})

// A Registrar puts instances into a registry.
type Registrar interface {
	// Register announces in and keeps it announced, through restarts and
	// losses of the registry, until Deregister. It returns once the instance
	// is validated and the work is under way: a registry that is down at this
	// moment is not an error but is retried for ever, and shows in
	// [Registration.Err]. ctx bounds the call only. status decides whether
	// callers may find the instance; nil means always. The error is that of
	// [Instance.Validate], or matches [ErrReadOnly] or [ErrClosed].
	Register(ctx context.Context, in Instance, status StatusFunc) (Registration, error)
}

// A Registration is one announced instance.
type Registration interface {
	// Deregister takes the instance out of the registry, bounded by ctx, and
	// stops all work for it whatever the outcome. A second call does nothing
	// and returns nil.
	Deregister(ctx context.Context) error
	// Err returns why the instance is not announced at this moment, or nil
	// when it is.
	Err() error
}

// A Resolver finds the instances of a service.
type Resolver interface {
	// Watch yields every callable instance of service, first when known and
	// then on each change: complete lists sorted by [Sort], never deltas,
	// owned by the caller. A service that nobody has registered yields an
	// empty, non-nil list. After a failure Watch yields a nil list and the
	// error, backs off, and goes on. It ends only when ctx does, the loop
	// around it, or the backend by Close. It starts nothing that outlives that
	// loop. A list equal to the one before is not yielded again, unless an
	// error came between. A name that [ValidateName] refuses reaches no
	// registry: Watch yields that error and ends.
	Watch(ctx context.Context, service string) iter.Seq2[[]Instance, error]
}

// A Backend is a registry that can be read, and often written.
type Backend interface {
	Registrar
	Resolver
	// Close ends every watch and registration of this backend and waits for
	// their goroutines. It does not deregister: whoever registered does. A
	// second Close does nothing.
	Close() error
}

// An Opener makes a Backend from a discovery URL. ctx bounds the opening only.
// A registry that is unreachable is not an error of the opener; a URL that
// cannot be understood is.
type Opener func(ctx context.Context, url string) (Backend, error)

// Openers maps a URL's scheme to what opens it. There is no global set:
// whoever opens URLs fills one.
type Openers map[string]Opener

// Open opens url with the opener of its scheme. The scheme is what stands
// before the first colon. An unknown scheme gives an error that matches
// [ErrUnknownScheme] and names those that are known.
func (o Openers) Open(ctx context.Context, url string) (Backend, error) {
	scheme, _, ok := strings.Cut(url, ":")
	open := o[scheme]
	if !ok || open == nil {
		known := "none"
		if len(o) > 0 {
			known = strings.Join(slices.Sorted(maps.Keys(o)), ", ")
		}
		return nil, fmt.Errorf("%w %.40q: have %s", ErrUnknownScheme, scheme, known)
	}
	b, err := open(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("discovery: open %s: %w", scheme, err)
	}
	return b, nil
}
