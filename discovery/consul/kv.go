package consul

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/time/rate"

	"github.com/gabion-go/gabion/discovery"
)

// ErrForgotten: the keys are gone because Consul has lost its memory, as one does
// that is restored or started anew, and not because somebody has deleted them.
var ErrForgotten = errors.New("discovery/consul: Consul has forgotten its keys")

// WatchKV follows the keys that begin with prefix in Consul's key-value store. It
// yields all of them, the rest of each key with its value, first when known and
// then on each change; a prefix without keys is an empty map. Keys that end with
// a slash are folders and left out. The map belongs to the caller.
//
// After a failure it yields a nil map and the error, waits a little, longer each
// time, and goes on. A Consul that comes back without any of the keys, with its
// index behind the last one, has lost them: that is [ErrForgotten], once, and the
// watch waits for keys to come back. An answer that Consul has filtered for want
// of permission is an error that matches [ErrDenied].
//
// WatchKV reads as Watch does, one blocking query at a time by the rules for
// them, but from the leader: an old answer would undo a change. It ends with
// ctx, with the loop, and with [Backend.Close]; on a closed backend it yields
// [discovery.ErrClosed] and ends.
func (b *Backend) WatchKV(ctx context.Context, prefix string) iter.Seq2[map[string][]byte, error] {
	return func(yield func(map[string][]byte, error) bool) {
		if b.isClosed() {
			yield(nil, discovery.ErrClosed)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(b.ctx, cancel)()
		w := &kvWatch{b: b, prefix: prefix, limiter: rate.NewLimiter(rate.Every(pace), burst)}
		w.run(ctx, yield)
	}
}

// A kvWatch follows one prefix for one loop.
type kvWatch struct {
	b       *Backend
	prefix  string
	limiter *rate.Limiter
	backoff backoff

	index  uint64            // to block on; 0 asks for an answer at once
	anew   bool              // the last answer was one that was asked for at once
	last   uint64            // the index of the last answer
	keys   map[string][]byte // what was yielded last; nil before the first
	failed bool              // an error was yielded since
	lost   bool              // Consul has forgotten keys, and that was yielded
}

func (w *kvWatch) run(ctx context.Context, yield func(map[string][]byte, error) bool) {
	for {
		keys, err := w.next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.index, w.failed = 0, true
			if !yield(nil, fmt.Errorf("discovery/consul: watch keys %q: %w", w.prefix, err)) || sleep(ctx, w.backoff.next()) != nil {
				return
			}
			continue
		}
		w.backoff.reset()
		switch {
		case w.lost && len(keys) == 0:
			continue
		case w.keys != nil && !w.failed && maps.EqualFunc(keys, w.keys, bytes.Equal):
			continue
		}
		w.keys, w.failed, w.lost = keys, false, false
		if !yield(maps.Clone(keys), nil) {
			return
		}
	}
}

// next returns the next answer.
func (w *kvWatch) next(ctx context.Context) (map[string][]byte, error) {
	keys, index, err := w.read(ctx)
	if errors.Is(err, errReconnected) {
		w.index = 0
		keys, index, err = w.read(ctx)
	}
	if err != nil {
		return nil, err
	}
	backwards := index < w.last
	w.anew = w.index == 0
	w.index, w.last = max(index, 1), index
	if backwards {
		w.index = 0 // the next read begins anew
	}
	if backwards && len(keys) == 0 && len(w.keys) > 0 && !w.lost {
		w.lost = true
		return nil, ErrForgotten
	}
	return keys, nil
}

// read asks the leader, and blocks if there is an index to block on.
func (w *kvWatch) read(ctx context.Context) (keys map[string][]byte, index uint64, err error) {
	if err := sleep(ctx, w.limiter.Reserve().Delay()); err != nil {
		return nil, 0, err
	}
	limit := answerTime
	q := &api.QueryOptions{Datacenter: w.b.conf.Datacenter, Token: w.b.tokens.current()}
	if w.index > 0 {
		q.WaitIndex, q.WaitTime = w.index, time.Duration(w.b.conf.Wait)
		limit += q.WaitTime + q.WaitTime/16
	}
	var header http.Header
	err = w.b.call(ctx, limit, func(ctx context.Context) error {
		if q.WaitIndex > 0 {
			var cancel context.CancelCauseFunc
			ctx, cancel = noReconnect(ctx)
			defer cancel(nil)
			if !w.anew {
				ctx = onlyReused(ctx, cancel)
			}
		}
		pairs, meta, err := w.b.client.KV().List(w.prefix, q.WithContext(withHeader(ctx, &header)))
		if err != nil {
			if cause := context.Cause(ctx); errors.Is(cause, errReconnected) {
				return cause
			}
			return err
		}
		keys, index = w.strip(pairs), meta.LastIndex
		return nil
	})
	if err == nil && header.Get("X-Consul-Results-Filtered-By-ACLs") == "true" {
		err = fmt.Errorf("%w: Consul filtered keys out of its answer", ErrDenied)
	}
	return keys, index, err
}

// onlyReused returns a context that ends a request, by cancel, that gets a new
// connection: there may be another Consul at its end by now, which would hold a
// query until its index passed the old one.
func onlyReused(ctx context.Context, cancel context.CancelCauseFunc) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if !info.Reused {
				cancel(errReconnected)
			}
		},
	})
}

// strip returns the values by what follows the prefix in their keys.
func (w *kvWatch) strip(pairs api.KVPairs) map[string][]byte {
	keys := make(map[string][]byte, len(pairs))
	for _, p := range pairs {
		if name := strings.TrimPrefix(p.Key, w.prefix); name != "" && !strings.HasSuffix(name, "/") {
			keys[name] = p.Value
		}
	}
	return keys
}
