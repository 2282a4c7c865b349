package consul

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// maxErrorBody bounds the text of a refusal that gets into an error.
const maxErrorBody = 1 << 10

const tokenHeader = "X-Consul-Token"

// A boundedTransport keeps answers within bounds: those that succeed fail
// while they are read with an [*http.MaxBytesError] at limit, those that do
// not are cut, and the token is taken out of them in case a proxy repeats it.
type boundedTransport struct {
	next  http.RoundTripper
	limit int64
}

func (t *boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if header, ok := req.Context().Value(headerKey{}).(*http.Header); ok {
		*header = resp.Header
	}
	if resp.StatusCode == http.StatusOK {
		resp.Body = http.MaxBytesReader(nil, resp.Body, t.limit)
		return resp, nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	resp.Body.Close() // what is left of it costs the connection
	if err != nil {
		return nil, err
	}
	if token := req.Header.Get(tokenHeader); token != "" {
		text = bytes.ReplaceAll(text, []byte(token), []byte("[token]"))
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp, nil
}

type headerKey struct{}

// withHeader returns a context whose request stores the header of its answer
// in h. The api package reads headers but tells neither "missing" nor
// "malformed" from "false" and zero.
func withHeader(ctx context.Context, h *http.Header) context.Context {
	return context.WithValue(ctx, headerKey{}, h)
}
