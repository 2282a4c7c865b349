package transporttest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// activeFault is a fault in force.
type activeFault struct {
	Fault
	number uint64        // 1 for the first that was planned
	begun  chan struct{} // closed once it is in force
}

// hits reports whether a fault of a link falls upon what goes from one host to
// the other.
func (a *activeFault) hits(from, to *Host) bool {
	if !a.link() {
		return false
	}
	return a.towards(from, to) || !a.OneWay && a.towards(to, from)
}

func (a *activeFault) towards(from, to *Host) bool { return from.is(a.From) && to.is(a.To) }

// Fault plans faults. Their times count from this call; a connection that is
// made later meets those whose time has come. A fault that is not valid, or
// names nobody in the network, fails the test.
func (n *Network) Fault(faults ...Fault) {
	n.tb.Helper()
	now := n.Since()
	for _, f := range faults {
		if err := n.check(f); err != nil {
			n.tb.Fatalf("transporttest: %v: %v", f, err)
		}
		n.mu.Lock()
		n.planned++
		a := &activeFault{f, uint64(n.planned), make(chan struct{})}
		// Faults that begin at the same time begin in their order.
		at := now + f.At + time.Duration(a.number)
		n.pending[a] = at
		n.mu.Unlock()
		n.wg.Go(func() { n.live(a, at) })
	}
}

// check is Validate, and that those it names are there.
func (n *Network) check(f Fault) error {
	if err := f.Validate(); err != nil {
		return err
	}
	for _, d := range []dist.Dist{f.Latency, f.Work} {
		if err := usable(d); err != nil {
			return err
		}
	}
	if f.registry() && f.On != Everyone && n.service(f.On) == nil {
		return fmt.Errorf("there is no service %q: services are %v", f.On, n.serviceNames())
	}
	for _, name := range []string{f.On, f.From, f.To} {
		if !n.knows(name) {
			return fmt.Errorf("there is no host or service %q: hosts are %v", name, n.hostNames())
		}
	}
	return nil
}

func (n *Network) knows(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return name == "" || name == Everyone || name == registryHost || n.hosts[name] != nil || n.services[name] != nil
}

func (n *Network) service(name string) *Service {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.services[name]
}

func (n *Network) serviceNames() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.services))
}

func (n *Network) hostNames() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for _, h := range n.sortedHosts() {
		names = append(names, h.name)
	}
	return names
}

// live waits until at, brings a fault about, and ends it in time.
func (n *Network) live(f *activeFault, at time.Duration) {
	if !n.sleepUntil(at) {
		return
	}
	n.event("fault", f.subject(), f.String())
	end := n.inflict(f)
	n.mu.Lock()
	delete(n.pending, f)
	n.mu.Unlock()
	close(f.begun)
	if f.For == 0 {
		return
	}
	if n.sleepUntil(at + f.For) {
		end()
		n.event("heal", f.subject(), f.String())
	}
}

// awaitDue waits for the faults that should have begun by now, or for the end of
// ctx. In a bubble there are none; in real time a busy machine may not have got
// round to them.
func (n *Network) awaitDue(ctx context.Context) error {
	for _, f := range n.due() {
		select {
		case <-f.begun:
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ctx.Done():
			return context.Cause(n.ctx)
		}
	}
	return nil
}

func (n *Network) due() (late []*activeFault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.Since()
	for f, at := range n.pending {
		if at <= now {
			late = append(late, f)
		}
	}
	return late
}

func (f *Fault) subject() string {
	if f.link() {
		return name(f.From) + ">" + name(f.To)
	}
	return f.On
}

// sleepUntil waits until that long after the start. It reports false if the
// network ended before.
func (n *Network) sleepUntil(at time.Duration) bool {
	t := time.NewTimer(at - n.Since())
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-n.ctx.Done():
		return false
	}
}

// inflict brings a fault about and returns what ends it.
func (n *Network) inflict(f *activeFault) (end func()) {
	hosts := n.named(f.On) // it ends for those for whom it began
	switch f.Kind {
	case Crash:
		hosts.each(func(h *Host) { n.crash(h, f.Silent) })
		return func() { hosts.each((*Host).bringUp) }
	case Restart:
		hosts.each(func(h *Host) { h.keepDown(); n.wg.Go(h.stop) })
		return func() {
			hosts.each(func(h *Host) {
				n.wg.Go(func() { h.wait(); h.bringUp() })
			})
		}
	case Pause:
		hosts.each((*Host).pause)
		return func() {
			hosts.each((*Host).resume)
			n.release()
		}
	case ClockJump:
		hosts.each(func(h *Host) { h.moveClock(f.Jump) })
		return func() { hosts.each(func(h *Host) { h.moveClock(-f.Jump) }) }
	case CPU:
		return n.enforce(f, n.contend(f))
	case Queue:
		return n.queueUp(f)
	case RegistryStale:
		n.registry.freeze(f)
		return n.enforce(f, func() { n.registry.melt(f) })
	case BlackHole:
		end := n.enforce(f, n.release)
		n.swallow(f)
		return end
	default:
		return n.enforce(f, func() {
			n.release()
			n.registry.touch()
		})
	}
}

type hosts []*Host

func (all hosts) each(do func(*Host)) {
	for _, h := range all {
		do(h)
	}
}

// named returns the hosts that there are now and that name means, by name.
func (n *Network) named(name string) hosts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(n.sortedHosts(), func(h *Host) bool { return !h.is(name) })
}

func (n *Network) crash(h *Host, silent bool) {
	h.keepDown()
	n.event("crash", h.name, "")
	h.kill(ErrCrashed, silent)
}

// enforce puts f among the faults that are asked at each piece of data and each
// request, and returns what takes it out again and then calls after.
func (n *Network) enforce(f *activeFault, after func()) (end func()) {
	n.change(func(in []*activeFault) []*activeFault { return append(slices.Clone(in), f) })
	n.registry.touch()
	return func() {
		n.change(func(in []*activeFault) []*activeFault {
			return slices.DeleteFunc(slices.Clone(in), func(o *activeFault) bool { return o == f })
		})
		after()
	}
}

func (n *Network) change(edit func([]*activeFault) []*activeFault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := edit(*n.faults.Load())
	n.faults.Store(&next)
}

// release sends what was held and no longer is.
func (n *Network) release() {
	now := time.Now()
	for _, c := range n.sortedConns() {
		c[0].out.release(now)
		c[0].in.release(now)
	}
}

// swallow makes the connections that a black hole meets dead in its direction:
// what is on its way is lost, too.
func (n *Network) swallow(f *activeFault) {
	for _, c := range n.sortedConns() {
		for _, s := range []*stream{c[0].out, c[0].in} {
			if f.hits(s.route.from, s.route.to) {
				s.kill()
			}
		}
	}
}
