package transporttest

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/gabion-go/gabion/internal/random"
)

// A route is the way from one host to another as one connection uses it.
type route struct {
	net      *Network
	from, to *Host
	id       connID
	name     uint64 // tells it from all other routes, in every run alike
}

func newRoute(n *Network, from, to *Host, id connID, back bool) *route {
	direction := uint64(0)
	if back {
		direction = 1
	}
	name := random.Hash(n.cfg.seed, "route", random.Hash(0, id.from), random.Hash(0, id.to), id.n, direction)
	return &route{net: n, from: from, to: to, id: id, name: name}
}

// A fate is what becomes of one piece of data.
type fate struct {
	delay     time.Duration
	held      hold
	swallowed bool
	reset     bool
}

// maxLost bounds how often one piece gets lost: after that a real TCP would
// have been at it for minutes.
const maxLost = 8

// fate decides what becomes of what is sent now. It follows from the seed, the
// route and the time alone, as long as the faults are the same: in how many
// pieces data was written at one instant is chance.
func (r *route) fate(now time.Time) fate {
	at := uint64(now.Sub(r.net.start))
	f := fate{delay: r.latency(at)}
	if r.from.isOff() || r.to.isOff() {
		f.swallowed = true
	}
	if r.from.frozen() != nil {
		f.held = frozen
	}
	for _, a := range *r.net.faults.Load() {
		if !a.hits(r.from, r.to) {
			continue
		}
		happens := func(try uint64) bool {
			return a.Probability == 0 && a.Kind != Stall || r.draw("happens", at, a.number, try) < a.Probability
		}
		switch a.Kind {
		case Latency:
			if happens(0) {
				f.delay = min(longest, f.delay+min(longest, a.Latency.At(r.draw("fault latency", at, a.number))))
			}
		case Stall:
			pause := firstResend
			for try := uint64(0); try < maxLost && happens(try); try++ {
				f.delay += pause
				pause *= 2
			}
		case Reset:
			f.reset = f.reset || happens(0)
		case Partition:
			f.held = partitioned
		case BlackHole:
			f.swallowed = true
		}
	}
	return f
}

// stagger tells apart, by up to 100 µs, what many routes would do at one
// instant.
func (r *route) stagger() time.Duration {
	return time.Duration(1 + r.name%uint64(100*time.Microsecond))
}

func (r *route) draw(what string, numbers ...uint64) float64 {
	return random.Unit(random.Hash(r.name, what, numbers...))
}

// latency is that of the healthy link; within a host it is a tenth of it. A
// fraction of a microsecond tells apart what would arrive at one instant.
func (r *route) latency(at uint64) time.Duration {
	d := min(longest, r.net.cfg.latency.At(r.draw("latency", at)))
	if r.from == r.to {
		d /= 10
	}
	return d + time.Duration(1000*r.draw("instant", at))
}

// rate is how many bytes per second get through, or zero for any number.
func (r *route) rate() int {
	least := 0
	for _, a := range *r.net.faults.Load() {
		if a.Kind == Drip && a.hits(r.from, r.to) && (least == 0 || a.Rate < least) {
			least = a.Rate
		}
	}
	return least
}

// refused reports whether connection try is refused on purpose.
func (r *route) refused() bool {
	for _, a := range *r.net.faults.Load() {
		if a.Kind == Refuse && a.towards(r.from, r.to) &&
			(a.Probability == 0 || r.draw("refuse", a.number) < a.Probability) {
			return true
		}
	}
	return false
}

// Dial connects to addr, a host of the network and a port, within the time of
// ctx, as net.Dialer.DialContext does. Nobody listening there is a refused
// connection, a name that is no host's an error that says so, and a host that
// does not answer, or cannot be reached, an error when ctx ends.
func (p *Process) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: address(addr), Err: err}
	}
	if err := p.gone(); err != nil {
		return fail(err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fail(err)
	}
	if err := p.host.net.awaitDue(ctx); err != nil {
		return fail(err)
	}
	to := p.host.net.host(host)
	if to == nil {
		return fail(&net.DNSError{Err: "no such host in the network", Name: host, IsNotFound: true})
	}
	there, back := p.host.net.newRoutes(p.host, to)
	if err := p.handshake(ctx, there, back); err != nil {
		return fail(err)
	}
	c, err := to.accept(p, there, back, port)
	if err != nil {
		return fail(err)
	}
	return c, nil
}

// connectResend is TCP's pause before it asks for a connection again.
const connectResend = time.Second

// handshake takes the time of a connection's first two packets, sent again
// after 1 s, 3 s, 7 s ... while they get lost.
func (p *Process) handshake(ctx context.Context, there, back *route) error {
	for pause := connectResend; ; {
		now := time.Now()
		out, in := there.fate(now), back.fate(now)
		lost := out.swallowed || in.swallowed || out.held == partitioned || in.held == partitioned
		wait := out.delay + in.delay
		if lost {
			wait, pause = pause, 2*pause
		}
		if err := p.sleep(ctx, wait); err != nil {
			return cmp.Or(ctx.Err(), err)
		}
		if thaw := p.host.frozen(); thaw != nil {
			select {
			case <-thaw:
				time.Sleep(there.stagger())
			case <-ctx.Done():
				return ctx.Err()
			case <-p.dead:
				return p.gone()
			}
		}
		switch {
		case lost:
		case there.refused():
			return syscall.ECONNREFUSED
		default:
			return nil
		}
	}
}

// sleep waits for d, until ctx ends or the process is gone.
func (p *Process) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.dead:
		return p.gone()
	}
}

// newRoutes names the next connection between two hosts.
func (n *Network) newRoutes(from, to *Host) (there, back *route) {
	n.mu.Lock()
	defer n.mu.Unlock()
	pair := [2]string{from.name, to.name}
	n.dialled[pair]++
	id := connID{from.name, to.name, n.dialled[pair]}
	return newRoute(n, from, to, id, false), newRoute(n, to, from, id, true)
}

// accept makes the connection whose packets took these routes.
func (h *Host) accept(from *Process, there, back *route, port string) (net.Conn, error) {
	p := h.Process()
	if p == nil {
		return nil, syscall.ECONNREFUSED
	}
	l := p.listener(port)
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	up, down := newStreams(there, back)
	here := address(net.JoinHostPort(from.host.name, strconv.FormatUint(1024+there.id.n%64512, 10)))
	client := &conn{id: there.id, process: from, in: down, out: up, dialled: true, local: here, remote: l.addr}
	server := &conn{id: there.id, process: p, in: up, out: down, local: l.addr, remote: here}
	client.peer, server.peer = server, client
	h.net.remember(client)
	if err := l.offer(server); err != nil {
		h.net.drop(client)
		return nil, err
	}
	return client, nil
}
