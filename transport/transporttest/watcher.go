package transporttest

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// watcher tells the report what a client of gabion does.
type watcher struct {
	process *Process

	mu       sync.Mutex
	services map[string]*watched
}

// watched is one service as one client sees it.
type watched struct {
	state  transport.ServiceState
	panics bool
	ends   map[string]balance.State // by ID
}

func newWatcher(p *Process) *watcher { return &watcher{process: p, services: map[string]*watched{}} }

func (w *watcher) StartCall(ctx context.Context, c *transport.Call) context.Context {
	// Programs that make their own client have no inTurn around it.
	if ctx.Value(turnTaken{}) == nil {
		w.process.host.net.turns.take(w.process.host.name + " " + c.Method + " " + c.Request.URL.String())
	}
	return ctx
}

func (w *watcher) StartAttempt(ctx context.Context, _ *transport.Call, _ *transport.Attempt) context.Context {
	return ctx
}

func (w *watcher) EndAttempt(ctx context.Context, c *transport.Call, a *transport.Attempt) {
	n := w.process.host.net
	replica := ""
	if a.Instance != nil {
		replica = hostOf(a.Instance.Addr)
	}
	start := a.Start.Sub(n.start)
	record := report.Attempt{
		Client: w.process.host.name, Service: c.Service, Replica: replica, N: tells(ctx), Kind: a.Kind.String(),
		Start: start, End: start + a.Duration, Status: a.Status, Err: class(a.Err), OK: a.Outcome == transport.Success,
	}
	if died, dead := w.process.death(); dead {
		if start >= died {
			return // it never left
		}
		record.End, record.Status, record.Err, record.OK = died, 0, report.ErrCancelled, false
	}
	n.rec.Attempt(record)
	w.look(c.Service)
}

func (w *watcher) EndCall(_ context.Context, c *transport.Call) { w.look(c.Service) }

func (w *watcher) StartService(s transport.ServiceState) func() {
	w.mu.Lock()
	w.services[s.Name] = &watched{state: s, ends: map[string]balance.State{}}
	w.mu.Unlock()
	link := w.process.host.name + ">" + s.Name
	return s.Breaker.Subscribe(func(e breaker.Event) {
		if w.process.over() {
			return
		}
		w.process.host.net.rec.Event(report.Event{
			At: e.At.Sub(w.process.host.net.start), Kind: report.Breaker, Subject: link, Detail: e.To.String(),
		})
	})
}

// look tells what has changed about the endpoints of a service.
func (w *watcher) look(service string) {
	if w.process.over() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.services[service]
	if s == nil {
		return
	}
	n := w.process.host.net
	for _, e := range s.state.Balancer.Endpoints() {
		was, state := s.ends[e.ID()], e.State()
		if was == state {
			continue
		}
		s.ends[e.ID()] = state
		kind := report.Eject
		if state == balance.Available {
			kind = report.Return
		}
		n.event(kind, w.process.host.name+">"+e.ID(), state.String())
	}
	if now := s.state.Balancer.Stats().Panic; now != s.panics {
		s.panics = now
		detail := "over"
		if now {
			detail = "all endpoints are used"
		}
		n.event(report.Panic, w.process.host.name+">"+service, detail)
	}
}

// class names an error for the report.
func class(err error) string {
	var netErr net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return report.ErrCancelled
	case isRejected(err):
		return report.ErrRejected
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, transport.ErrTimeout), errors.Is(err, transport.ErrAttemptTimeout):
		return report.ErrTimeout
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, errBacklog):
		return report.ErrRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return report.ErrReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return report.ErrEOF
	case errors.As(err, &netErr) && netErr.Timeout():
		return report.ErrTimeout
	default:
		return report.ErrOther
	}
}

func isRejected(err error) bool {
	return slices.ContainsFunc([]error{
		breaker.ErrOpen, limit.ErrThrottled, transport.ErrBulkheadFull, transport.ErrNoInstances, transport.ErrClosed,
	}, func(target error) bool { return errors.Is(err, target) })
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

var _ discovery.Backend = (*backend)(nil)
