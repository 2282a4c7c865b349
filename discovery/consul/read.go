package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

// answerTime is how long an answer may take that Consul does not hold back.
const answerTime = 10 * time.Second

// An answer is what Consul said.
type answer struct {
	entries []*api.ServiceEntry
	index   uint64
	header  http.Header
}

// tooOld reports whether the server that answered has, by its own account, not
// heard from a leader within limit. An answer without that account is not too
// old; the streaming backend's is always "no leader" and says nothing.
func (a answer) tooOld(limit time.Duration) bool {
	contact := a.header.Get("X-Consul-LastContact")
	if contact == "" || a.header.Get("X-Consul-Query-Backend") == api.QueryBackendStreaming {
		return false
	}
	ms, err := time.ParseDuration(contact + "ms")
	if err != nil {
		return false
	}
	return ms > limit || a.header.Get("X-Consul-KnownLeader") == "false"
}

// errFiltered: the token may read the service but not its nodes.
var errFiltered = fmt.Errorf("%w: Consul filtered all instances out of its answer", ErrDenied)

// filtered returns an error if a is empty because of permissions.
func (a answer) filtered() error {
	if len(a.entries) == 0 && a.header.Get("X-Consul-Results-Filtered-By-ACLs") == "true" {
		return errFiltered
	}
	return nil
}

// read asks any server, and blocks if index is not 0.
func (w *watch) read(ctx context.Context, index uint64) (answer, error) {
	q := &api.QueryOptions{AllowStale: true}
	limit := answerTime
	if index > 0 {
		q.WaitIndex = index
		q.WaitTime = w.settle.bound(time.Duration(w.b.conf.Wait))
		limit += q.WaitTime + q.WaitTime/16
	}
	return w.ask(ctx, q, limit)
}

// readLeader asks the leader and does not block.
func (w *watch) readLeader(ctx context.Context) (answer, error) {
	return w.ask(ctx, &api.QueryOptions{}, answerTime)
}

// errReconnected: the connection of a blocking query broke.
var errReconnected = errors.New("connection to Consul lost")

// noReconnect returns a context that ends a request when net/http, which
// repeats GET requests on its own account, gives it a second connection. A
// Consul that restarted would hold such a query until its new index passed the
// old one.
func noReconnect(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var conns atomic.Int32
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			if conns.Add(1) > 1 {
				cancel(errReconnected)
			}
		},
	}), cancel
}

// ask sends one query, in its turn, and gives it up after limit.
func (w *watch) ask(ctx context.Context, q *api.QueryOptions, limit time.Duration) (a answer, err error) {
	if err := sleep(ctx, w.limiter.Reserve().Delay()); err != nil {
		return answer{}, err
	}
	conf := w.b.conf
	q.Datacenter = conf.Datacenter
	q.Token = w.b.tokens.current()
	err = w.b.call(ctx, limit, func(ctx context.Context) error {
		if q.WaitIndex > 0 {
			var cancel context.CancelCauseFunc
			ctx, cancel = noReconnect(ctx)
			defer cancel(nil)
		}
		q = q.WithContext(withHeader(ctx, &a.header))
		entries, meta, err := w.b.client.Health().ServiceMultipleTags(w.service, conf.Tags, conf.OnlyPassing, q)
		if err != nil {
			if cause := context.Cause(ctx); errors.Is(cause, errReconnected) {
				return cause
			}
			return err
		}
		if entries == nil { // the api package reads "null" as no entries
			return errors.New("the answer is not a list")
		}
		a.entries, a.index = entries, meta.LastIndex
		return nil
	})
	return a, err
}
