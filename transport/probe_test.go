package transport_test

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/limit"
)

// probe sends OPTIONS * to a:1 and returns the response, its body closed.
func (f *fleet) probe(header http.Header) *http.Response {
	f.t.Helper()
	rt := &http.Transport{DialContext: f.net.Dial}
	defer rt.CloseIdleConnections()
	resp, err := rt.RoundTrip(&http.Request{
		Method: http.MethodOptions, URL: &url.URL{Scheme: "http", Host: "a:1", Path: "*"}, Header: header,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

// A probe is answered though the server is full, reaches no handler, and says
// what the server has to do.
func TestServerAnswersProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		free := make(chan struct{})
		f.start("cart", "a:1", func(http.ResponseWriter, *http.Request) { <-free }, transport.WithSettings(transport.ServerSettings{
			Limit: limit.Settings{Initial: 1, Max: 1},
		}))
		c := f.client()
		go func() { _, _, _ = get(t.Context(), c, "http://cart/") }()
		synctest.Wait()
		resp := f.probe(http.Header{transport.HeaderAttempt: {"1"}})
		got := resp.Header.Get(transport.HeaderLoad)
		if resp.StatusCode != http.StatusOK || !strings.HasPrefix(got, "TEXT named_metrics.rif=1, ") {
			t.Errorf("status %d, report %q", resp.StatusCode, got)
		}
		if got := f.probe(http.Header{}).Header.Get(transport.HeaderLoad); got != "" {
			t.Errorf("a caller that is no gabion client got %q", got)
		}
		close(free)
		synctest.Wait()
		if n := f.hit("a:1"); n != 1 {
			t.Errorf("the handler saw %d requests, want 1", n)
		}
	})
}

// A server that drains asks probers to go as it asks all others.
func TestProbeOfADrainingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		srv := f.listen("a:1", func(http.ResponseWriter, *http.Request) {})
		if resp := f.probe(http.Header{}); resp.Close || resp.StatusCode != http.StatusOK {
			t.Errorf("status %d, the connection is closed: %t", resp.StatusCode, resp.Close)
		}
		srv.Drain()
		if resp := f.probe(http.Header{}); !resp.Close {
			t.Error("the connection is kept")
		}
	})
}

// What is sent with a probe is not read, so nothing can follow it.
func TestProbeWithABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.listen("a:1", func(http.ResponseWriter, *http.Request) {})
		rt := &http.Transport{DialContext: f.net.Dial}
		defer rt.CloseIdleConnections()
		resp, err := rt.RoundTrip(&http.Request{
			Method: http.MethodOptions, URL: &url.URL{Scheme: "http", Host: "a:1", Path: "*"}, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader("what?")), ContentLength: 5,
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !resp.Close {
			t.Errorf("status %d, the connection is closed: %t", resp.StatusCode, resp.Close)
		}
	})
}

// The rates in a report are those of the last second or more.
func TestLoadReportRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("cart", "a:1", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bad" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		c := f.client()
		ask := http.Header{transport.HeaderAttempt: {"1"}}
		for i := range 201 {
			path := "/good"
			if i%4 == 0 {
				path = "/bad"
			}
			_, _, _ = get(t.Context(), c, "http://cart"+path)
			time.Sleep(10 * time.Millisecond)
		}
		got := f.probe(ask).Header.Get(transport.HeaderLoad)
		_, cpu, _ := strings.Cut(got, "cpu_utilization=")
		cpu, _, _ = strings.Cut(cpu, ",")
		if n, err := strconv.ParseFloat(cpu, 64); err != nil || n < 0 || n > 1 {
			t.Errorf("cpu_utilization is %q", cpu)
		}
		if !strings.HasSuffix(got, "rps_fractional=100.000, eps=25.000") {
			t.Errorf("got %q", got)
		}
	})
}
