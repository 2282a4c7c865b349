package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gabion-go/gabion/transport"
)

// A caller whose own body cannot be read gets that error: the service has not
// failed, so nothing answers in its place, and its circuit hears of nothing.
func TestFallbackIsNotForTheCallersOwnBody(t *testing.T) {
	unreadable := errors.New("disk error")
	failing := func() io.Reader {
		return io.MultiReader(strings.NewReader("01234"), failingReader{unreadable})
	}
	for name, tc := range map[string]struct {
		body   func() io.Reader
		length int64                         // 0 is not known
		again  func() (io.ReadCloser, error) // GetBody
		status int                           // of the service
		want   error                         // nil for any
	}{
		"streamed":    {body: failing, want: unreadable},
		"kept":        {body: failing, length: 10, want: unreadable},
		"too short":   {body: func() io.Reader { return io.MultiReader(strings.NewReader("01234")) }, length: 10},
		"never comes": {body: func() io.Reader { r, _ := io.Pipe(); return r }, want: transport.ErrTimeout},
		"late and kept": {
			body: func() io.Reader { r, _ := io.Pipe(); return r }, length: 10, want: transport.ErrTimeout,
		},
		"not made again": {
			body: func() io.Reader { return strings.NewReader("0123456789") }, length: 10, status: 503,
			again: func() (io.ReadCloser, error) { return nil, unreadable }, want: unreadable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				for _, addr := range []string{"a:1", "b:1"} {
					f.start("cart", addr, func(w http.ResponseWriter, r *http.Request) {
						_, _ = io.Copy(io.Discard, r.Body)
						w.WriteHeader(max(tc.status, 200))
					})
				}
				asked := 0
				c := f.client(transport.WithFallback("cart", func(context.Context, *http.Request, error) (*http.Response, error) {
					asked++
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
				}))
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://cart/", tc.body())
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength, req.GetBody = tc.length, tc.again
				resp, err := c.RoundTrip(req)
				if err == nil {
					_ = resp.Body.Close()
					t.Fatalf("got %d, want an error", resp.StatusCode)
				}
				if tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if transport.Unavailable(err) || asked != 0 {
					t.Errorf("%v: unavailable %t, %d fallbacks; it is the caller's own fault", err, transport.Unavailable(err), asked)
				}
				if n := c.Services()[0].Breaker.Counts().Failures; n != 0 {
					t.Errorf("the circuit counts %d failures", n)
				}
				idle(t, c)
			})
		})
	}
}

// failingReader fails with an error.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
