package sim

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// Bounds of what one run may hold.
const (
	maxClients   = 1_000_000
	maxServers   = 100_000
	maxEndpoints = 100_000_000 // clients times servers
	maxFactor    = 1e6
)

// Validate reports, joined, everything that is wrong with c.
func (c Config) Validate() error {
	v := &validator{}
	v.check(c.For > 0, "for is %v, want more than 0", c.For)
	v.dist("network", c.Network)
	v.dist("lists: delay", c.Lists.Delay)
	v.check(c.Lists.Every >= 0, "lists: every is %v, must not be negative", c.Lists.Every)
	d := c.withDefaults()
	clients, servers := 0, 0
	for i, g := range c.Clients {
		v.clients(i, g)
		clients += d.Clients[i].Count
		v.check(!slices.ContainsFunc(c.Clients[:i], func(o Clients) bool { return o.Name == g.Name }),
			"clients %q: the name is taken", g.Name)
	}
	for i, g := range d.Servers {
		v.servers(i, g)
		servers += g.Count
		v.check(!slices.ContainsFunc(d.Servers[:i], func(o Servers) bool { return o.Name == g.Name }),
			"servers %q: the name is taken", g.Name)
	}
	v.check(clients <= maxClients, "%d clients, want at most %d", clients, maxClients)
	v.check(servers <= maxServers, "%d servers, want at most %d", servers, maxServers)
	v.check(int64(clients)*int64(servers) <= maxEndpoints, "%d clients of %d servers, want at most %d pairs", clients, servers, maxEndpoints)
	for i, l := range c.Load {
		where := fmt.Sprintf("load %d", i)
		v.join(where, l.Validate())
		v.check(l.File == "" && l.Think.File == "", "%s: its file has not been read; see load.Load.Read", where)
		v.check(slices.ContainsFunc(c.Clients, func(g Clients) bool { return g.Name == l.Client }),
			"%s: there are no clients %q", where, l.Client)
		v.check(slices.ContainsFunc(c.Servers, func(g Servers) bool { return g.Service == l.Service }),
			"%s: there are no servers of %q", where, l.Service)
	}
	for i, h := range d.Changes {
		v.change(fmt.Sprintf("change %d", i), h, d.Servers)
	}
	return errors.Join(v.errs...)
}

type validator struct{ errs []error }

func (v *validator) check(ok bool, format string, args ...any) {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf("sim: "+format, args...))
	}
}

func (v *validator) join(where string, err error) {
	if err != nil {
		v.errs = append(v.errs, fmt.Errorf("sim: %s: %w", where, err))
	}
}

// dist checks a distribution that may be left out.
func (v *validator) dist(where string, d dist.Dist) {
	if !absent(d) {
		v.join(where, d.Validate())
		v.check(d.File == "", "%s: file %q has not been read; see dist.Dist.Load", where, d.File)
	}
}

func (v *validator) clients(i int, g Clients) {
	where := fmt.Sprintf("clients %q", g.Name)
	v.check(g.Name != "", "clients %d have no name", i)
	v.check(g.Count >= 0, "%s: count is %d, must not be negative", where, g.Count)
	v.join(where, g.Policy.Validate())
}

func (v *validator) servers(i int, g Servers) {
	where := fmt.Sprintf("servers %q", g.Name)
	v.check(g.Service != "", "servers %d have no service", i)
	v.check(g.Count >= 0, "%s: count is %d, must not be negative", where, g.Count)
	v.check(g.Kind == Delay || g.Kind == Sharing || g.Kind == Queue,
		"%s: kind is %q, want %q, %q or %q", where, g.Kind, Delay, Sharing, Queue)
	v.check(g.Cores > 0 && g.Burst >= g.Cores, "%s: %v cores and a burst of %v, want more than 0 and not less", where, g.Cores, g.Burst)
	v.check(g.Workers >= 0, "%s: workers is %d, must not be negative", where, g.Workers)
	v.dist(where+": time", g.Time)
	v.dist(where+": busy", g.Busy)
	v.dist(where+": idle", g.Idle)
	v.check(absent(g.Busy) == absent(g.Idle), "%s: busy and idle go together", where)
	if !absent(g.Busy) {
		v.check(g.Busy.MeanOf() >= time.Microsecond && g.Idle.MeanOf() >= time.Microsecond,
			"%s: busy and idle must last for 1µs on average", where)
	}
	if g.Limit != nil {
		v.join(where, g.Limit.Validate())
	}
}

func (v *validator) change(where string, h Change, servers []Servers) {
	where += " (" + h.Kind + ")"
	switch h.Kind {
	case Slow:
		v.check(h.Factor > 0 && h.Factor <= maxFactor, "%s: factor is %v, want more than 0 and at most %v", where, h.Factor, maxFactor)
	case Fail:
		v.check(h.Share > 0 && h.Share <= 1, "%s: share is %v, want above 0 to 1", where, h.Share)
		v.check(h.Status >= 400 && h.Status <= 599, "%s: status is %d, want 400 to 599", where, h.Status)
	case Churn:
		v.check(h.Every > 0, "%s: every is %v, want more than 0", where, h.Every)
		v.dist(where+": away", h.Away)
	case Down, Hang, Leave:
	default:
		v.check(false, "%s: no such kind", where)
	}
	v.check(h.At >= 0 && h.For >= 0, "%s: at %v for %v, must not be negative", where, h.At, h.For)
	n := 0
	for _, g := range servers {
		if h.concerns(g) {
			n += g.Count
		}
	}
	v.check(n > 0, "%s: there are no servers %q of service %q", where, h.Servers, h.Service)
	v.check(h.First >= 0 && h.Count >= 0 && (n == 0 || h.First+max(1, h.Count) <= n),
		"%s: %d servers from %d on, there are %d", where, h.Count, h.First, n)
}

// concerns reports whether h happens to servers of that group.
func (h *Change) concerns(g Servers) bool {
	return g.Service == h.Service && (h.Servers == "" || g.Name == h.Servers)
}

// absent reports whether d was left out.
func absent(d dist.Dist) bool { return reflect.ValueOf(d).IsZero() }
