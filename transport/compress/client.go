package compress

import (
	"fmt"
	"net/http"

	"github.com/gabion-go/gabion/transport"
)

// Client returns a RoundTripper that asks for gzip through next, usually a
// *transport.Client, and decompresses the responses that come so. A body that
// holds more than maxBytes ends in an error that matches
// transport.ErrBodyTooLarge; zero or less stands for [MaxBytes]. Responses that
// are not compressed pass through without that bound.
//
// Requests that say themselves what encodings they accept, or that ask for a
// part of a representation or an upgrade, pass through as they are, and so do
// their responses.
func Client(next http.RoundTripper, maxBytes int64) http.RoundTripper {
	return &client{next: next, maxBytes: orMaxBytes(maxBytes), pools: newInflaters()}
}

type client struct {
	next     http.RoundTripper
	maxBytes int64
	pools    *inflaters
}

// RoundTrip implements [http.RoundTripper].
func (c *client) RoundTrip(req *http.Request) (*http.Response, error) {
	if h := req.Header; req.Method == http.MethodHead || h["Accept-Encoding"] != nil || h["Range"] != nil || h["Upgrade"] != nil {
		return c.next.RoundTrip(req)
	}
	out := req.Clone(req.Context())
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header.Set("Accept-Encoding", "gzip")
	resp, err := c.next.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	resp.Request = req
	c.unpack(resp)
	return resp, nil
}

// CloseIdleConnections closes those of next, if it can.
func (c *client) CloseIdleConnections() {
	if n, ok := c.next.(interface{ CloseIdleConnections() }); ok {
		n.CloseIdleConnections()
	}
}

// unpack makes a response that came in gzip what it would have been without.
func (c *client) unpack(resp *http.Response) {
	codings := contentCodings(resp.Header)
	if len(codings) != 1 || c.pools.pool(codings[0]) != &c.pools.gzip || resp.Body == http.NoBody || resp.ContentLength == 0 {
		return
	}
	resp.Body = &body{
		source: resp.Body, from: c.pools, pool: &c.pools.gzip,
		left: c.maxBytes, tooLarge: fmt.Errorf("%w: more than %d bytes when decompressed", transport.ErrBodyTooLarge, c.maxBytes),
	}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength, resp.Uncompressed = -1, true
}
