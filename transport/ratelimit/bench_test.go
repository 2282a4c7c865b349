package ratelimit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/ratelimit"
)

func TestTakeAllocatesNothing(t *testing.T) {
	for _, per := range []string{ratelimit.PerClient, ratelimit.PerAll} {
		l := newLimiter(t, ratelimit.Policy{Requests: 10, Per: per})
		if n := testing.AllocsPerRun(1000, func() { l.Take("alice", 1) }); n != 0 {
			t.Errorf("%s: %v allocations", per, n)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	keys := make([]string, 1<<16)
	for i := range keys {
		keys[i] = "192.0.2." + strconv.Itoa(i)
	}
	for _, per := range []string{ratelimit.PerClient, ratelimit.PerAll} {
		for _, clients := range []int{1, len(keys)} {
			b.Run(fmt.Sprintf("%s/clients=%d", per, clients), func(b *testing.B) {
				l := newLimiter(b, ratelimit.Policy{Requests: 1000, Per: per})
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						l.Take(keys[i%clients], 1)
					}
				})
			})
		}
	}
}

// discard is a ResponseWriter that keeps nothing but the header.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkHandler(b *testing.B) {
	for name, requests := range map[string]int{"granted": 1_000_000, "refused": 1} {
		b.Run(name, func(b *testing.B) {
			h := newLimiter(b, ratelimit.Policy{Requests: requests, Window: time.Second}).
				Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			w := &discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}
