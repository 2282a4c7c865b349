package transport_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// A service whose only call goes on for longer than the idle time is in use: it
// is forgotten when that call is over.
func TestIdleWhileAStreamGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.start("ticker", "a:1", func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				_, _ = io.WriteString(w, ".")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Minute)
			}
		}, transport.WithSettings(transport.ServerSettings{ReadTimeout: -1, WriteTimeout: -1}))
		c := f.client(transport.WithIdle(time.Minute), transport.WithPolicy(transport.Policy{Timeout: time.Hour}))
		resp, err := c.HTTPClient().Get("http://ticker/")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Minute + time.Second)
		if n := len(c.Services()); n != 1 {
			t.Errorf("%d services are known while a stream goes on, want 1", n)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(b) != ".........." || err != nil {
			t.Errorf("got %q %v", b, err)
		}
		time.Sleep(2*time.Minute + time.Second)
		if n := len(c.Services()); n != 0 {
			t.Errorf("%d services are known two minutes later, want none", n)
		}
	})
}
