package transport_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"testing"

	"github.com/gabion-go/gabion/transport"
)

// A proxy looks through the announced trailers before it reads the body, while
// the handler may be about to set them: they come with the body's end.
func TestTrailersOfLocalResponses(t *testing.T) {
	for name, c := range map[string]struct {
		method, trailer string
		handler         func(http.ResponseWriter)
	}{
		"flushed":   {http.MethodGet, "1", func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }},
		"empty":     {http.MethodGet, "1", func(http.ResponseWriter) {}},
		"some":      {http.MethodGet, "1", func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") }},
		"no body":   {http.MethodHead, "", func(http.ResponseWriter) {}},
		"none here": {http.MethodGet, "", func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			done := make(chan struct{})
			client := f.client(transport.WithLocal("pricing", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				defer close(done)
				w.Header().Set("Trailer", "X-Sum")
				c.handler(w)
				w.Header().Set("X-Sum", "1")
			}), 1))
			req, _ := http.NewRequestWithContext(t.Context(), c.method, "http://pricing/", nil)
			resp, err := client.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range resp.Trailer {
				if len(values) > 0 {
					t.Errorf("%s is %q before the end", name, values)
				}
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			if got := resp.Trailer.Get("X-Sum"); got != c.trailer {
				t.Errorf("trailer %q, want %q", got, c.trailer)
			}
			_ = resp.Body.Close()
			<-done
		})
	}
}

// Who refuses an informational response gets an error, whatever the handler does
// then.
func TestLocalResponseRefusedEarly(t *testing.T) {
	f := newFleet(t)
	client := f.client(transport.WithLocal("pricing", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "body")
	}), 1))
	refused := errors.New("refused")
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return refused },
	})
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://pricing/", nil)
	resp, err := client.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, refused) {
		t.Errorf("%v, want %v", err, refused)
	}
}
