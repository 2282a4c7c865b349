package transport_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// net/http is asked by what it says, so this is what fails when it says it in
// other words: a header that is too large has an error of its own over either
// version, and the call is made once.
func TestHeaderTooLarge(t *testing.T) {
	for name, speak := range speaks {
		t.Run(name, func(t *testing.T) {
			var p http.Protocols
			speak(&p)
			var hits atomic.Int32
			all := hosts(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fields := 56 // of a little more than 1 KiB
				if r.URL.Path == "/over" {
					hits.Add(1)
					fields = 68
				}
				for i := range fields {
					w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1<<10))
				}
			}), &p, "a")
			c := over(t, []transport.ClientOption{transport.WithProtocols(&p), transport.WithPolicy(transport.Policy{
				Timeout: time.Minute, AttemptTimeout: time.Minute,
			})}, all["a"].Addr)
			if status, _, err := get(t.Context(), c, "http://raw/under"); status != 200 {
				t.Errorf("got %d %v for a header of 57 KiB", status, err)
			}
			_, _, err := get(t.Context(), c, "http://raw/over")
			e, ok := errors.AsType[*transport.Error](err)
			if !errors.Is(err, transport.ErrHeaderTooLarge) || !ok || !e.Sent || e.Attempts != 1 {
				t.Errorf("got %v, want ErrHeaderTooLarge of one attempt that was sent", err)
			}
			if n := hits.Load(); n != 1 {
				t.Errorf("asked %d times, want once", n)
			}
			idle(t, c)
		})
	}
}
