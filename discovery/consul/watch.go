package consul

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/gabion-go/gabion/discovery"
)

// Reads of one service are limited to burst at once and then one per pace,
// however fast Consul answers. The rule comes from "Rate limit" in
// https://developer.hashicorp.com/consul/api-docs/features/blocking.
const (
	pace  = 750 * time.Millisecond
	burst = 4
)

// Watch implements [discovery.Resolver]. It reads in the goroutine of the loop
// around it, one request at a time: four at once if they are answered at once,
// and after that four in three seconds, in whatever way Consul misbehaves. A
// blocking query is given up after its wait time, the sixteenth of it that
// Consul adds at random, and 10 s; the next one uses a new connection. After a
// failure the index is forgotten, so that the next answer comes at once, and
// for [Config.Settle] instances stay listed that have not come back yet.
//
// Watch ends with ctx, with the loop, and with [Backend.Close]; on a closed
// backend it yields [discovery.ErrClosed] and ends. A bad name never reaches
// Consul: Watch yields [discovery.ErrBadName] and ends.
func (b *Backend) Watch(ctx context.Context, service string) iter.Seq2[[]discovery.Instance, error] {
	return func(yield func([]discovery.Instance, error) bool) {
		if b.isClosed() {
			yield(nil, discovery.ErrClosed)
			return
		}
		if err := discovery.ValidateName(service); err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(b.ctx, cancel)()
		w := &watch{
			b:       b,
			service: service,
			limiter: rate.NewLimiter(rate.Every(pace), burst),
			settle:  settler{period: time.Duration(b.conf.Settle)},
		}
		w.run(ctx, yield)
	}
}

// A watch follows one service for one loop.
type watch struct {
	b       *Backend
	service string
	limiter *rate.Limiter
	backoff backoff
	settle  settler

	index   uint64               // to block on; 0 asks for an answer at once
	last    []discovery.Instance // what was yielded last; nil before the first
	failed  bool                 // an error was yielded since
	skipped map[string]error     // entries of the last answer that are unusable
	stale   bool                 // the last answer was too old
}

func (w *watch) run(ctx context.Context, yield func([]discovery.Instance, error) bool) {
	for {
		list, err := w.next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.index = 0
			w.failed = true
			w.settle.interrupted(w.last)
			if !yield(nil, fmt.Errorf("discovery/consul: watch %q: %w", w.service, err)) || sleep(ctx, w.backoff.next()) != nil {
				return
			}
			continue
		}
		w.backoff.reset()
		list = w.settle.complete(list)
		if w.last != nil && !w.failed && slices.EqualFunc(list, w.last, discovery.Instance.Equal) {
			continue
		}
		w.last, w.failed = list, false
		if !yield(discovery.CloneList(list), nil) {
			return
		}
	}
}

// next returns the next answer that holds water.
func (w *watch) next(ctx context.Context) ([]discovery.Instance, error) {
	a, err := w.read(ctx, w.index)
	if errors.Is(err, errReconnected) {
		w.index = 0
		w.settle.interrupted(w.last)
		a, err = w.read(ctx, w.index)
	}
	if err != nil {
		return nil, err
	}
	if a, err = w.check(ctx, a); err != nil {
		return nil, err
	}
	w.advance(a.index)
	list, skipped := decode(w.service, a.entries, w.b.conf.OnlyPassing)
	w.report(skipped)
	return list, nil
}

// advance takes over the index of an answer. One of 0, or none, would not
// block: 1 always may be used in its place. One that went backwards means that
// Consul was restored or lost its memory: the next read begins anew. Source:
// "Implementation Details" in
// https://developer.hashicorp.com/consul/api-docs/features/blocking.
func (w *watch) advance(index uint64) {
	switch {
	case index == 0:
		w.index = 1
	case index < w.index:
		w.index = 0
		w.settle.interrupted(w.last)
	default:
		w.index = index
	}
}

// check returns a, or in its place an answer of the leader if a is in doubt:
// because it is too old, or because it is empty and the one before was not.
// The second happens with Consul's streaming backend when the token is not
// valid any more: the answer is 200 and [].
func (w *watch) check(ctx context.Context, a answer) (answer, error) {
	old := a.tooOld(time.Duration(w.b.conf.MaxStale))
	w.reportAge(old, a)
	empty := len(a.entries) == 0 && len(w.last) > 0
	if !old && !empty {
		return a, a.filtered()
	}
	fresh, err := w.readLeader(ctx)
	if err == nil {
		err = fresh.filtered()
	}
	if err != nil && !empty {
		return a, a.filtered() // old, but all that there is
	}
	return fresh, err
}

// report logs the entries that cannot be used, each once for as long as it is
// there.
func (w *watch) report(skipped map[string]error) {
	for name, err := range skipped {
		if w.skipped[name] == nil {
			w.b.log.Warn("Consul entry skipped", "service", w.service, "entry", name, "error", err)
		}
	}
	w.skipped = skipped
}

// reportAge logs the beginning and the end of answers that are too old.
func (w *watch) reportAge(old bool, a answer) {
	if old == w.stale {
		return
	}
	w.stale = old
	if !old {
		w.b.log.Info("Consul answers are fresh again", "service", w.service)
		return
	}
	w.b.log.Warn("Consul answer is too old and is read again from the leader", "service", w.service,
		"last_contact_ms", a.header.Get("X-Consul-LastContact"), "known_leader", a.header.Get("X-Consul-KnownLeader"),
		"limit", time.Duration(w.b.conf.MaxStale))
}
