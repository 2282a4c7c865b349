package transport_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/gabion-go/gabion/transport"
)

// Trailers come with the end of the body, be there something in it or not: a
// gRPC server that has no message to send says all in its trailers. They need
// not have been announced.
func TestTrailers(t *testing.T) {
	answers := map[string]string{"no body": "", "a body": "whole"}
	for name, speak := range speaks {
		for kind, body := range answers {
			t.Run(name+"/"+kind, func(t *testing.T) {
				var p http.Protocols
				speak(&p)
				h := func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Trailer", "Announced")
					w.WriteHeader(http.StatusOK)
					_, _ = io.WriteString(w, body)
					w.Header().Set("Announced", "1")
					w.Header().Set(http.TrailerPrefix+"Unannounced", "2")
				}
				all := hosts(t, http.HandlerFunc(h), &p, "a")
				c := over(t, []transport.ClientOption{transport.WithProtocols(&p)}, all["a"].Addr)
				resp, err := c.HTTPClient().Get("http://raw/")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err != nil || string(got) != body {
					t.Errorf("got %q %v, want %q", got, err, body)
				}
				if resp.Trailer.Get("Announced") != "1" || resp.Trailer.Get("Unannounced") != "2" {
					t.Errorf("got trailers %v", resp.Trailer)
				}
				idle(t, c)
			})
		}
	}
}

// A body that is said to be empty ends its call though nobody closes it.
func TestEmptyBodies(t *testing.T) {
	for name, speak := range speaks {
		t.Run(name, func(t *testing.T) {
			var p http.Protocols
			speak(&p)
			all := hosts(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }), &p, "a")
			c := over(t, []transport.ClientOption{transport.WithProtocols(&p)}, all["a"].Addr)
			for _, method := range []string{"GET", "HEAD", "DELETE"} {
				req, err := http.NewRequestWithContext(t.Context(), method, "http://raw/", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.HTTPClient().Do(req)
				if err != nil || resp.StatusCode != 204 {
					t.Fatalf("%s: got %v %v", method, resp, err)
				}
			}
			idle(t, c)
		})
	}
}
