package transport

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

const (
	// maxProbes bounds the probes of one service that are under way.
	maxProbes = 16
	// probeTime is how long a probe may take: what it brings is soon too old.
	probeTime = time.Second
	// probeMute is how long a server that answers without a report is not
	// asked again.
	probeMute = time.Minute
)

// prober asks instances for their load out of band, when the balancer wants to
// know it: OPTIONS *, which reaches no handler, on the connections that calls
// use. Probes are neither calls nor attempts: nothing is counted, and one that
// fails says nothing. Its goroutines end with stop.
type prober struct {
	svc *service

	mu    sync.Mutex
	ended bool
	asked map[*balance.Endpoint]bool // probes under way
	mute  map[*balance.Endpoint]time.Time
	wg    sync.WaitGroup
}

func (p *prober) init(s *service) {
	p.svc = s
	p.asked, p.mute = map[*balance.Endpoint]bool{}, map[*balance.Endpoint]time.Time{}
}

// ask begins to probe e, unless that is of no use now.
func (p *prober) ask(e *balance.Endpoint) {
	if e.Addr() == localAddr {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.asked[e] || len(p.asked) >= maxProbes || time.Now().Before(p.mute[e]) {
		return
	}
	p.asked[e] = true
	p.wg.Go(func() {
		reports := p.probe(e)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.asked, e)
		now := time.Now()
		maps.DeleteFunc(p.mute, func(_ *balance.Endpoint, until time.Time) bool { return !now.Before(until) })
		if !reports {
			p.mute[e] = now.Add(probeMute)
		}
	})
}

// probe asks once. It reports false if e answers but does not report.
func (p *prober) probe(e *balance.Endpoint) (reports bool) {
	ctx, cancel := context.WithTimeout(p.svc.ctx, probeTime)
	defer cancel()
	scheme := "http"
	if p.svc.tls {
		scheme = "https"
	}
	req := &http.Request{
		Method: http.MethodOptions, Host: p.svc.host,
		URL:    &url.URL{Scheme: scheme, Host: e.Addr(), Path: "*"},
		Header: http.Header{HeaderAttempt: {"1"}},
	}
	pool := p.svc.conns.acquire(e, time.Now())
	defer p.svc.conns.settle(e)
	defer pool.release()
	resp, err := pool.RoundTrip(req.WithContext(ctx)) //nolint:bodyclose // discard closes it
	if err != nil {
		return true // the calls will find out what is wrong
	}
	discard(resp.Body)
	l, ok := parseLoad(resp.Header.Get(HeaderLoad))
	if ok {
		e.Report(l)
	}
	return ok
}

// stop waits for the probes under way, which end with the service's context,
// and lets no other begin.
func (p *prober) stop() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.wg.Wait()
}
