package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"sync"

	"connectrpc.com/conformance/internal"
	conformance "connectrpc.com/conformance/internal/gen/proto/go/connectrpc/conformance/v1"
)

// answerAll makes the calls that in asks for, several at a time, and writes what
// became of each to out. It returns when in has ended and all calls have.
func answerAll(ctx context.Context, in internal.StreamDecoder, out internal.StreamEncoder, c *clients) error {
	defer c.close()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed error
	)
	places := make(chan struct{}, 4*runtime.GOMAXPROCS(0))
	for {
		req := &conformance.ClientCompatRequest{}
		if err := in.DecodeNext(req); err != nil {
			wg.Wait()
			if !errors.Is(err, io.EOF) {
				return err
			}
			return failed
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			resp := answer(ctx, c, req)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, out.Encode(resp))
		})
	}
}

// answer makes one call.
func answer(ctx context.Context, c *clients, req *conformance.ClientCompatRequest) *conformance.ClientCompatResponse {
	resp := &conformance.ClientCompatResponse{TestName: req.GetTestName()}
	result, err := call(ctx, c, req)
	if err != nil {
		resp.Result = &conformance.ClientCompatResponse_Error{Error: &conformance.ClientErrorResult{Message: err.Error()}}
	} else {
		resp.Result = &conformance.ClientCompatResponse_Response{Response: result}
	}
	return resp
}

// call makes one call. The error is that it could not be made, not that it
// failed.
func call(ctx context.Context, c *clients, req *conformance.ClientCompatRequest) (*conformance.ClientResponseResult, error) {
	client, base, err := c.to(req)
	if err != nil {
		return nil, err
	}
	if req.TimeoutMs != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ms(req.GetTimeoutMs()))
		defer cancel()
	}
	return newCaller(client, base, req).call(ctx)
}

// A dialer makes what calls are made with.
type dialer interface {
	// dial returns what speaks this version of HTTP to the servers of want, over
	// TLS unless cfg is nil.
	dial(want peer) (roundTripper, error)
}

// A roundTripper makes calls.
type roundTripper interface {
	http.RoundTripper
	// host returns what stands for addr, a host and a port, in a URL.
	host(addr string) (string, error)
	close()
}

// clients are those in use, one for each kind of server.
type clients struct {
	dialer dialer

	mu  sync.Mutex
	all map[peerKey]roundTripper
}

// to returns the client for req, and the URL of its server.
func (c *clients) to(req *conformance.ClientCompatRequest) (*http.Client, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	want, err := peerOf(req)
	if err != nil {
		return nil, "", err
	}
	rt := c.all[want.peerKey]
	if rt == nil {
		if rt, err = c.dialer.dial(want); err != nil {
			return nil, "", err
		}
		if c.all == nil {
			c.all = map[peerKey]roundTripper{}
		}
		c.all[want.peerKey] = rt
	}
	host, err := rt.host(want.addr)
	if err != nil {
		return nil, "", err
	}
	return &http.Client{Transport: fresh{rt, want.once}}, want.scheme() + "://" + host, nil
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rt := range c.all {
		rt.close()
	}
}

// fresh sends requests that are cancelled in the midst on connections of their
// own: HTTP/1 must close those, and net/http may have given them to the next
// request already.
type fresh struct {
	roundTripper
	once bool
}

func (f fresh) RoundTrip(req *http.Request) (*http.Response, error) {
	if f.once {
		req = req.Clone(req.Context())
		req.Close = true
	}
	return f.roundTripper.RoundTrip(req)
}
