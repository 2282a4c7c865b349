package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// watchedBody is a request body that knows whether it was closed.
type watchedBody struct {
	io.Reader
	closed atomic.Bool
}

func (b *watchedBody) Close() error {
	b.closed.Store(true)
	return nil
}

// Whoever gives a request away has its body closed, whatever refuses the call.
func TestRefusedBodiesAreClosed(t *testing.T) {
	for name, tc := range map[string]struct {
		policy  transport.Policy
		prepare func(t *testing.T, c *transport.Client)
		url     string
		ended   bool // the caller has gone already
		want    error
	}{
		"open circuit": {prepare: func(_ *testing.T, c *transport.Client) {
			c.Services()[0].Breaker.Force(breaker.ModeOpen)
		}, want: breaker.ErrOpen},
		"full bulkhead": {policy: transport.Policy{Limit: limit.Policy{MaxInflight: 1}}, prepare: func(t *testing.T, c *transport.Client) {
			if !c.Services()[0].Bulkhead.TryAcquire() {
				t.Fatal("no place")
			}
		}, want: transport.ErrBulkheadFull},
		"caller gone": {ended: true, want: context.Canceled},
		"closed client": {prepare: func(t *testing.T, c *transport.Client) {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}, want: transport.ErrClosed},
		"unknown service": {url: "http://nobody/", want: transport.ErrNoInstances},
		"no service":      {url: "http://-_-/"},
		"no scheme":       {url: "ftp://pricing/"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("pricing", "a:1", answer(200))
				c := f.client(transport.WithPolicy(tc.policy))
				callAll(t, c, 1)
				if tc.prepare != nil {
					tc.prepare(t, c)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if tc.ended {
					cancel()
				}
				url := tc.url
				if url == "" {
					url = "http://pricing/"
				}
				body := &watchedBody{Reader: strings.NewReader("x")}
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.RoundTrip(req)
				if err == nil {
					_ = resp.Body.Close()
				}
				if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if !body.closed.Load() {
					t.Error("the body is left open")
				}
			})
		})
	}
}
