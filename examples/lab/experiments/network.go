package experiments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/bubble"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// onNetwork calls f with a network of real servers, in virtual time.
func onNetwork(name string, seed uint64, f func(n *transporttest.Network), opts ...transporttest.Option) error {
	opts = append(opts, transporttest.WithSeed(seed), transporttest.WithName(name))
	return bubble.Run(name, func(tb testing.TB) { f(transporttest.New(tb, opts...)) })
}

// stopping makes calls fail at once when ctx has ended. A run in virtual time
// then comes to its end in a moment.
func stopping(ctx context.Context, via transporttest.Via) transporttest.Via {
	return func(p *transporttest.Process) http.RoundTripper {
		next := via(p)
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return next.RoundTrip(req)
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// rotation is what many write around net/http: the instances that the registry
// lists, one after the other, one try.
type rotation struct {
	transport http.RoundTripper
	addrs     atomic.Pointer[[]string]
	turn      atomic.Uint64
}

var errNobody = errors.New("the registry lists nobody")

// newRotation follows service as p sees it and returns when its list is known.
func newRotation(p *transporttest.Process, service string) *rotation {
	r := &rotation{transport: p.PlainClient().Transport}
	known := make(chan struct{})
	go r.follow(p.Registry(), service, sync.OnceFunc(func() { close(known) }))
	<-known
	return r
}

// follow ends when the registry is closed, at the end of the process.
func (r *rotation) follow(registry discovery.Resolver, service string, known func()) {
	for list, err := range registry.Watch(context.Background(), service) {
		if err != nil {
			continue // the last list stands
		}
		addrs := make([]string, 0, len(list))
		for _, in := range list {
			addrs = append(addrs, in.Addr)
		}
		r.addrs.Store(&addrs)
		known()
	}
}

func (r *rotation) RoundTrip(req *http.Request) (*http.Response, error) {
	addrs := *r.addrs.Load()
	if len(addrs) == 0 {
		return nil, errNobody
	}
	out := req.Clone(req.Context())
	out.URL.Host = addrs[r.turn.Add(1)%uint64(len(addrs))]
	return r.transport.RoundTrip(out)
}

// failures tells in words what calls failed with, the most frequent first.
func failures(r *report.Report) string {
	names := slices.SortedFunc(maps.Keys(r.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Errors[b], r.Errors[a]), cmp.Compare(a, b))
	})
	parts := make([]string, 0, len(names))
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%d %s", r.Errors[name], name))
	}
	return strings.Join(parts, ", ")
}
