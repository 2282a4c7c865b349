package transport

import (
	"net/http"
	"testing"
	"time"
)

// Load balancers keep idle connections for 60 s (ALB) and reuse them: the
// server must keep them longer, also where only the read timeout is set.
func TestIdleConnectionsOutliveTheLoadBalancers(t *testing.T) {
	for name, s := range map[string]ServerSettings{"defaults": {}, "short reads": {ReadTimeout: time.Second, ReadHeaderTimeout: time.Second}} {
		srv, err := NewServer(http.NotFoundHandler(), WithSettings(s))
		if err != nil {
			t.Fatal(err)
		}
		if got := srv.http.IdleTimeout; got != 120*time.Second {
			t.Errorf("%s: idle connections are closed after %v, want 2 min", name, got)
		}
	}
}
