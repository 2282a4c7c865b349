package transporttest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// httpServer is what net/http's server and gabion's have in common.
type httpServer interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

func newServer(tb testing.TB, h http.Handler, cfg serviceConfig) (httpServer, error) {
	if cfg.plain {
		return plainServer{&http.Server{
			Handler: h, Protocols: cfg.protocol, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(logTo{tb}, "", 0),
		}}, nil
	}
	return transport.NewServer(h, append([]transport.ServerOption{transport.WithServerProtocols(cfg.protocol)}, cfg.server...)...)
}

// logTo writes to the log of a test, but for panics that were planned.
type logTo struct{ tb testing.TB }

func (l logTo) Write(b []byte) (int, error) {
	if !bytes.Contains(b, []byte(plannedPanic)) {
		l.tb.Logf("%s", bytes.TrimSpace(b))
	}
	return len(b), nil
}

// plannedPanic begins the value of a panic that is a fault.
const plannedPanic = "transporttest: planned "

// plainServer is a server of net/http that ends without an error.
type plainServer struct{ *http.Server }

func (s plainServer) Serve(l net.Listener) error {
	if err := s.Server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Handler returns next with the faults of handlers that fall upon the process's
// host, and tells the report what it serves. [Network.Serve] does this by
// itself; programs that have their own server wrap their handler.
func (p *Process) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.enter() {
			return
		}
		defer p.host.net.wg.Done()
		// A limiter lets several in at one instant; whose calls come first is no
		// chance then.
		p.host.net.turns.take(p.host.name + " " + r.RemoteAddr + " " + r.Method + " " + r.URL.String())
		s := &serving{ResponseWriter: w, process: p, begin: p.host.net.Since(), request: requestName(r), cut: -1}
		defer s.end(r)
		s.serve(r, next)
	})
}

// enter counts a request that the network waits for at its end. It reports
// false if the process has ended.
func (p *Process) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause != nil {
		return false
	}
	p.host.net.wg.Add(1)
	return true
}

// requestName tells requests apart in the same way in every run: by their
// connection and the instant at which they came.
func requestName(r *http.Request) uint64 {
	return random.Hash(uint64(time.Now().UnixNano()), r.RemoteAddr+" "+r.Method+" "+r.URL.String())
}

// serving is one request being served.
type serving struct {
	http.ResponseWriter
	process *Process
	request uint64
	begin   time.Duration
	status  int
	cut     int // bytes of the body that may still pass; negative is any number
}

// serve lets the faults have their way and then the handler.
func (s *serving) serve(r *http.Request, next http.Handler) {
	h := s.process.host
	if !s.thaw(r.Context()) {
		return
	}
	q := h.queue()
	if q != nil {
		if !q.enter(r.Context()) {
			http.Error(s, "the queue is full", http.StatusServiceUnavailable)
			return
		}
		defer q.leave()
	}
	if now := s.process.Now(); !now.Equal(time.Now()) {
		s.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	}
	for _, a := range *h.net.faults.Load() {
		if !a.link() && h.is(a.On) && s.happens(a) && s.suffer(a, r) {
			return
		}
	}
	next.ServeHTTP(s, r)
	s.thaw(r.Context())
}

// thaw waits for the end of a pause. It reports false if ctx ended before.
func (s *serving) thaw(ctx context.Context) bool {
	for {
		thawed := s.process.host.frozen()
		if thawed == nil {
			return true
		}
		select {
		case <-thawed:
			// One after the other, whoever wakes first.
			s.process.host.net.turns.take(fmt.Sprintf("%s %x", s.process.host.name, s.request))
		case <-ctx.Done():
			return false
		}
	}
}

func (s *serving) happens(a *activeFault) bool {
	return a.Probability == 0 || s.draw("request", a) < a.Probability
}

func (s *serving) draw(what string, a *activeFault) float64 {
	return s.process.host.net.draw(what, s.request, a.number)
}

// suffer brings one fault about. It reports whether the request is answered by
// it.
func (s *serving) suffer(a *activeFault, r *http.Request) (answered bool) {
	switch a.Kind {
	case Slow:
		return s.gaveUp(s.process.sleep(r.Context(), a.Latency.At(s.draw("slow", a))))
	case CPU:
		return s.gaveUp(s.process.Work(r.Context(), a.Work.At(s.draw("work", a))))
	case Status:
		http.Error(s, http.StatusText(a.Status), a.Status)
		return true
	case Panic:
		panic(plannedPanic + a.String())
	case Cut:
		s.cut = a.Bytes
	}
	return false
}

// gaveUp answers a request whose time ran out before its handler began.
func (s *serving) gaveUp(err error) bool {
	if err != nil {
		http.Error(s, err.Error(), http.StatusServiceUnavailable)
	}
	return err != nil
}

// Work takes the host's processor for d, that is, for longer while others use
// it too and a [CPU] fault makes them share. It returns early with the cause
// if ctx ends.
func (p *Process) Work(ctx context.Context, d time.Duration) error {
	if c := p.host.cpu(); c != nil {
		return c.work(ctx, d)
	}
	return p.sleep(ctx, d)
}

// cpu returns what the host's requests share, or nil.
func (h *Host) cpu() *cpu {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.cpus) == 0 {
		return nil
	}
	return h.cpus[len(h.cpus)-1]
}

// contend makes the requests of every host that f falls upon share its cores,
// and returns what ends that.
func (n *Network) contend(f *activeFault) (end func()) {
	var ends []func()
	n.named(f.On).each(func(h *Host) {
		c := newCPU(f.Cores)
		h.mu.Lock()
		h.cpus = append(h.cpus, c)
		h.mu.Unlock()
		ends = append(ends, func() {
			h.mu.Lock()
			h.cpus = without(h.cpus, c)
			h.mu.Unlock()
			c.release()
		})
	})
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// without returns a copy of all in which one is missing.
func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(o T) bool { return o == one })
}

// end records what became of the request.
func (s *serving) end(r *http.Request) {
	panicked := recover()
	if s.status == 0 {
		s.status = http.StatusOK
		if panicked != nil {
			s.status = http.StatusInternalServerError
		}
	}
	now := s.process.host.net.Since()
	record := report.Served{
		Service: s.process.host.service, Replica: s.process.host.name, Start: s.begin, End: now,
		Status: s.status, Late: r.Context().Err() != nil || s.expired(r, now),
	}
	if died, dead := s.process.death(); dead {
		record.End, record.Status, record.Late = min(now, died), 0, true
	}
	record.Work = record.End - record.Start
	s.process.host.net.rec.Served(record)
	if panicked != nil {
		panic(panicked) // for the server, which answers
	}
}

// expired reports whether the caller's deadline, or the server's own, has
// passed.
func (s *serving) expired(r *http.Request, now time.Duration) bool {
	// At this very instant the context may not have heard of it.
	if d, ok := r.Context().Deadline(); ok && !time.Now().Before(d) {
		return true
	}
	left, ok := transport.CallerTimeout(r.Header)
	return ok && now > s.begin+left
}

func (s *serving) WriteHeader(status int) {
	if s.status == 0 && status >= 200 {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Write cuts the connection when a fault says so.
func (s *serving) Write(b []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	if s.cut < 0 {
		return s.ResponseWriter.Write(b)
	}
	if len(b) <= s.cut {
		s.cut -= len(b)
		return s.ResponseWriter.Write(b)
	}
	_, _ = s.ResponseWriter.Write(b[:s.cut])                 // the connection is about to break anyway
	_ = http.NewResponseController(s.ResponseWriter).Flush() // so that the caller sees a part
	panic(http.ErrAbortHandler)
}

// Flush implements http.Flusher, for handlers that ask for it.
func (s *serving) Flush() { _ = http.NewResponseController(s.ResponseWriter).Flush() }

// Hijack implements http.Hijacker, for handlers that ask for it.
func (s *serving) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(s.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (s *serving) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// A queue serves some requests at a time and lets others wait in their order.
type queue struct {
	mu      sync.Mutex
	free    int
	backlog int                  // negative is unbounded
	waiting []chan time.Duration // each gets how long to wait still
	open    bool                 // everybody may enter: the fault is over
}

// enter waits for a place. It reports false if there are too many waiting, or
// ctx ended.
func (q *queue) enter(ctx context.Context) bool {
	q.mu.Lock()
	if q.open || q.free > 0 {
		q.free--
		q.mu.Unlock()
		return true
	}
	if q.backlog >= 0 && len(q.waiting) >= q.backlog {
		q.mu.Unlock()
		return false
	}
	turn := make(chan time.Duration, 1)
	q.waiting = append(q.waiting, turn)
	q.mu.Unlock()
	select {
	case rest := <-turn:
		time.Sleep(rest)
		return true
	case <-ctx.Done():
		return q.withdraw(turn)
	}
}

// withdraw takes a turn out of the queue. It reports true if it was given
// already.
func (q *queue) withdraw(turn chan time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, t := range q.waiting {
		if t == turn {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			return false
		}
	}
	return true
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	q.admit()
}

// admit gives free places to those who have waited longest.
func (q *queue) admit() {
	for rank := time.Duration(0); len(q.waiting) > 0 && (q.open || q.free > 0); rank++ {
		q.free--
		q.waiting[0] <- rank // a nanosecond apart, so that their order is no chance
		q.waiting = q.waiting[1:]
	}
}

// release lets everybody in who waits.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = true
	q.admit()
}

// queue returns the host's queue, or nil.
func (h *Host) queue() *queue {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queues) == 0 {
		return nil
	}
	return h.queues[len(h.queues)-1]
}

// queueUp gives every host that f falls upon a queue of its own, and returns
// what takes it away.
func (n *Network) queueUp(f *activeFault) (end func()) {
	var ends []func()
	n.named(f.On).each(func(h *Host) {
		q := &queue{free: f.Workers, backlog: f.Backlog}
		h.mu.Lock()
		h.queues = append(h.queues, q)
		h.mu.Unlock()
		ends = append(ends, func() {
			h.mu.Lock()
			h.queues = without(h.queues, q)
			h.mu.Unlock()
			q.release()
		})
	})
	return func() {
		for _, end := range ends {
			end()
		}
	}
}
