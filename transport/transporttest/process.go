package transporttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
)

// A Process is one run of a host's program, from its start to its end. What it
// does to the network through a Process has no effect any more once it has
// crashed, even if its goroutines live on for a while.
type Process struct {
	host   *Host
	n      int // 1 for the first of the host
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the program has returned
	dead   chan struct{} // closed when it has crashed

	pausing sync.Mutex // held while hooks are called
	paused  bool       // and the hooks know

	mu        sync.Mutex
	cause     error // of death
	died      time.Duration
	closed    time.Duration // when it last closed a connection that it had accepted
	listeners map[string]*listener
	onStop    []func()
	onPause   []pauseHook
	sources   int
}

func newProcess(h *Host, n int) *Process {
	p := &Process{host: h, n: n, done: make(chan struct{}), dead: make(chan struct{}), listeners: map[string]*listener{}}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	return p
}

// run runs the program to its end. One that returns early, or panics, is a
// crash, as with a real process.
func (p *Process) run(program Main) {
	defer close(p.done)
	defer p.runStops()
	err := program(p.ctx, p)
	switch {
	case p.ctx.Err() == nil:
		p.host.net.tb.Errorf("transporttest: the program on %s ended by itself: %v", p.host.name, err)
	case err != nil && p.gone() == nil:
		p.host.net.tb.Errorf("transporttest: the program on %s: %v", p.host.name, err)
	}
	p.kill(errStopped, false)
}

// runStops runs what OnStop was given, the last first.
func (p *Process) runStops() {
	p.mu.Lock()
	stops := p.onStop
	p.onStop = nil
	p.mu.Unlock()
	for i := range stops {
		stops[len(stops)-1-i]()
	}
}

// kill cuts the process off.
func (p *Process) kill(cause error, silent bool) {
	p.mu.Lock()
	again := p.cause != nil
	if !again {
		p.cause, p.died = cause, p.host.net.Since()
		close(p.dead)
	}
	listeners := p.listeners
	p.listeners = map[string]*listener{}
	p.mu.Unlock()
	if again {
		return
	}
	after := time.Duration(0)
	for _, c := range p.host.net.sortedConns() {
		for _, end := range c {
			if end.process == p {
				after++ // those who are hit at once notice one after the other
				end.abort(after, silent)
			}
		}
	}
	for _, l := range listeners {
		l.shut()
	}
	p.cancel(cause)
}

// death returns when the process was cut off, if it was.
func (p *Process) death() (at time.Duration, dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.died, p.cause != nil
}

// noteClose notes that a connection was closed that the process had accepted.
func (p *Process) noteClose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = p.host.net.Since()
}

// settle waits after a shutdown until whole seconds have passed since it began
// and one more since the last connection was closed: how often net/http looks
// whether all are closed is chance.
func (p *Process) settle(began time.Duration) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	took := max(0, closed-began)
	until := began + (took + time.Second - 1).Truncate(time.Second) + time.Second
	time.Sleep(until - p.host.net.Since())
}

// over reports whether the process has ended or is cut off.
func (p *Process) over() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// gone returns why the process is cut off from the network, or nil.
func (p *Process) gone() error {
	if !p.over() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}

// Host returns the host that the process runs on.
func (p *Process) Host() *Host { return p.host }

// Run counts the processes of the host: 1 for the first.
func (p *Process) Run() int { return p.n }

// Now returns the time on the host's clock, which a [ClockJump] moves.
func (p *Process) Now() time.Time {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	return time.Now().Add(p.host.offset)
}

// OnStop has f called when the process has ended, in order or not, after its
// program: to close a store, for example. The last f comes first.
func (p *Process) OnStop(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onStop = append(p.onStop, f)
}

// pauseHook is what OnPause was given.
type pauseHook struct{ pause, resume func() }

// OnPause has pause called when a [Pause] freezes the process, and then resume
// when that ends or the process is to end. It is for programs that stand for
// something outside the network, see package sockets. Calls are made one after
// the other, pause before resume.
func (p *Process) OnPause(pause, resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.onPause) == 0 {
		context.AfterFunc(p.ctx, p.melt)
	}
	p.onPause = append(p.onPause, pauseHook{pause, resume})
}

// freeze tells those who asked that the process is frozen.
func (p *Process) freeze() {
	p.pausing.Lock()
	defer p.pausing.Unlock()
	if p.ctx.Err() != nil || p.paused {
		return
	}
	p.paused = true
	for _, h := range p.pauseHooks() {
		h.pause()
	}
}

// melt is the opposite of freeze.
func (p *Process) melt() {
	p.pausing.Lock()
	defer p.pausing.Unlock()
	if !p.paused {
		return
	}
	p.paused = false
	for _, h := range p.pauseHooks() {
		h.resume()
	}
}

func (p *Process) pauseHooks() []pauseHook {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.onPause)
}

// Rand returns a source of random numbers that follow from the network's seed,
// the process and the order of the calls to Rand.
func (p *Process) Rand() rand.Source {
	p.mu.Lock()
	p.sources++
	which := p.sources
	p.mu.Unlock()
	return p.host.net.source(fmt.Sprintf("%s#%d/%d", p.host.name, p.n, which))
}

// Registry returns the network's registry as the process reaches it. Closing
// it ends what was begun through it.
func (p *Process) Registry() discovery.Backend { return newBackend(p) }

// Client returns a client of gabion that calls services by name from this
// process: http://pricing/v1/quote. It is closed when the process ends.
func (p *Process) Client(opts ...transport.ClientOption) *http.Client {
	p.host.net.tb.Helper()
	c, err := transport.NewClient(p.Registry(), append(p.ClientOptions(), opts...)...)
	if err != nil {
		p.host.net.tb.Fatalf("transporttest: client on %s: %v", p.host.name, err)
	}
	p.OnStop(func() { _ = c.Close() }) // returns nil always
	hc := c.HTTPClient()
	hc.Transport = inTurn{p, hc.Transport}
	return hc
}

// ClientOptions returns what makes a client of gabion part of the network, for
// programs that make their own, such as with gabion.WithClientOptions: the
// dialer, the source of random numbers and an observer that reports what the
// client does.
func (p *Process) ClientOptions() []transport.ClientOption {
	return []transport.ClientOption{
		transport.WithDialer(p.dialInTime), transport.WithRand(p.Rand()), transport.WithObserver(newWatcher(p)),
	}
}

// dialInTime is Dial with the time limit of the client's own dialer.
func (p *Process) dialInTime(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return p.Dial(ctx, network, addr)
}

// PlainClient returns a client of net/http, which calls hosts by name:
// http://pricing-1/v1/quote. Its connections are closed when the process ends.
func (p *Process) PlainClient() *http.Client {
	t := &http.Transport{DialContext: p.Dial, MaxIdleConnsPerHost: 100}
	p.OnStop(t.CloseIdleConnections)
	return &http.Client{Transport: inTurn{process: p, next: t}}
}

// Listen opens a listener at a port of the host. Port "0" is a free one. A port
// that is taken is an error that matches syscall.EADDRINUSE.
func (p *Process) Listen(port string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if port == "0" {
		next := 49152
		for p.listeners[strconv.Itoa(next)] != nil {
			next++
		}
		port = strconv.Itoa(next)
	}
	addr := address(net.JoinHostPort(p.host.name, port))
	fail := func(err error) error { return &net.OpError{Op: "listen", Net: "mem", Addr: addr, Err: err} }
	if p.cause != nil {
		return nil, fail(p.cause)
	}
	if p.listeners[port] != nil {
		return nil, fail(syscall.EADDRINUSE)
	}
	l := &listener{process: p, port: port, addr: addr, arrived: make(chan *conn, 4096), closed: make(chan struct{})}
	p.listeners[port] = l
	return l, nil
}

func (p *Process) listener(port string) *listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listeners[port]
}

// listener waits for connections at one port.
type listener struct {
	process *Process
	port    string
	addr    address
	arrived chan *conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arrived:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "mem", Addr: l.addr, Err: net.ErrClosed}
	}
}

// offer puts a connection into the listener's backlog.
func (l *listener) offer(c *conn) error {
	l.process.mu.Lock() // shut comes after the port has been given up
	defer l.process.mu.Unlock()
	if l.process.listeners[l.port] != l {
		return syscall.ECONNREFUSED
	}
	select {
	case l.arrived <- c:
		return nil
	default:
		return errBacklog
	}
}

func (l *listener) Close() error {
	l.process.mu.Lock()
	if l.process.listeners[l.port] == l {
		delete(l.process.listeners, l.port)
	}
	l.process.mu.Unlock()
	l.shut()
	return nil
}

// shut ends Accept and resets the connections that nobody has accepted.
func (l *listener) shut() {
	l.once.Do(func() {
		close(l.closed)
		for {
			select {
			case c := <-l.arrived:
				c.abort(0, false)
			default:
				return
			}
		}
	})
}

func (l *listener) Addr() net.Addr { return l.addr }

// errBacklog: nobody accepts connections, and no more can wait.
var errBacklog = errors.New("transporttest: the listener's backlog is full")
