package discovery

import (
	"errors"
	"fmt"
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
