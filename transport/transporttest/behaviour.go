package transporttest

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// handler returns what makes handlers that do as b says; via carries their
// calls.
func (b Behaviour) handler(via Via) func(*Process) http.Handler {
	return func(p *Process) http.Handler {
		h := &synthetic{Behaviour: b, process: p}
		if b.Workers > 0 {
			h.queue = &queue{free: b.Workers, backlog: b.Backlog}
		}
		if b.Cores > 0 {
			h.cpu = newCPU(b.Cores)
		}
		if len(b.Calls) > 0 {
			h.client = inTurn{process: p, next: via(p)}
		}
		return h
	}
}

// synthetic is a handler that only behaves like a service.
type synthetic struct {
	Behaviour
	process *Process
	client  http.RoundTripper
	queue   *queue // nil for any number of workers
	cpu     *cpu   // nil for any number of cores
}

func (h *synthetic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.queue != nil {
		if !h.queue.enter(r.Context()) {
			http.Error(w, "the backlog is full", http.StatusServiceUnavailable)
			return
		}
		defer h.queue.leave()
	}
	name := requestName(r)
	draw := func(what string) float64 { return h.process.host.net.draw(what, name) }
	if err := h.work(r.Context(), draw("behaviour work")); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if draw("behaviour failure") < h.Failures {
		http.Error(w, "this one fails", http.StatusInternalServerError)
		return
	}
	if err := h.callAll(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintln(w, h.process.host.name)
}

func (h *synthetic) work(ctx context.Context, u float64) error {
	switch {
	case !isSet(h.Work):
		return nil
	case h.cpu != nil:
		return h.cpu.work(ctx, h.Work.At(u))
	default:
		return h.process.Work(ctx, h.Work.At(u))
	}
}

// callAll makes the calls and returns the first error, in their order.
func (h *synthetic) callAll(ctx context.Context) error {
	if !h.Parallel {
		for _, to := range h.Calls {
			if err := h.call(ctx, to); err != nil {
				return err
			}
		}
		return nil
	}
	results := make([]chan error, len(h.Calls))
	for i, to := range h.Calls {
		results[i] = make(chan error, 1)
		go func() { results[i] <- h.call(ctx, to) }()
	}
	var first error
	for _, r := range results {
		if err := <-r; first == nil {
			first = err
		}
	}
	return first
}

func (h *synthetic) call(ctx context.Context, to string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+to, nil)
	if err != nil {
		return err
	}
	resp, err := h.client.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("call %s: %w", to, err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close() // everything has been read
	if err != nil {
		return fmt.Errorf("call %s: %w", to, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("call %s: %s", to, resp.Status)
	}
	return nil
}
