package transport

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/memnet"
	"github.com/gabion-go/gabion/transport/balance"
)

// probed is a service with one instance at a:1, which h serves as net/http
// does.
func probed(t *testing.T, h http.Handler, opts ...ClientOption) *service {
	t.Helper()
	var network memnet.Network
	l, err := network.Listen("a:1")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, DisableGeneralOptionsHandler: true}
	go func() { _ = srv.Serve(l) }()
	registry, err := static.New(map[string][]discovery.Instance{"cart": {{ID: "a", Addr: "a:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(registry, append([]ClientOption{WithDialer(network.Dial)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = registry.Close()
		_ = srv.Close()
	})
	s, err := c.addService(serviceKey{host: "cart"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.awaitFirst(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := NewServer(http.NotFoundHandler())
		if err != nil {
			t.Fatal(err)
		}
		s := probed(t, srv)
		e := s.balancer.Endpoints()[0]
		if _, _, ok := e.Reported(); ok {
			t.Fatal("a report before anybody has asked")
		}
		s.prober.ask(e)
		synctest.Wait()
		if rif, _, ok := e.Reported(); !ok || rif != 0 {
			t.Errorf("reported %d, %t", rif, ok)
		}
		if n := e.InFlight(); n != 0 {
			t.Errorf("%d calls in flight", n)
		}
	})
}

// One probe per endpoint is under way, for a second at most; a server that
// does not report is left alone for a while, and closing waits for all.
func TestProbesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, hang := 0, false
		s := probed(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			asked++
			if r.Method != http.MethodOptions || r.RequestURI != "*" || r.Host != "cart" || r.Header.Get(HeaderAttempt) != "1" {
				t.Errorf("asked by %s %s of %s, %v", r.Method, r.RequestURI, r.Host, r.Header)
			}
			if hang {
				<-r.Context().Done()
			}
		}))
		e := s.balancer.Endpoints()[0]
		want := func(n int) {
			t.Helper()
			for range 3 {
				s.prober.ask(e)
			}
			synctest.Wait()
			if asked != n {
				t.Fatalf("asked %d times, want %d", asked, n)
			}
		}
		want(1)
		want(1) // it does not report
		time.Sleep(probeMute)
		hang = true
		want(2)
		time.Sleep(probeTime - 1)
		want(2) // under way
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want(3) // silence is no answer
		s.close()
		if n := len(s.prober.asked); n != 0 {
			t.Errorf("%d probes after the end", n)
		}
		s.prober.ask(e)
		synctest.Wait()
		if asked != 3 {
			t.Error("asked after the end")
		}
	})
}

// However many are to be asked, so many are at once.
func TestProbesOfManyAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := probed(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		list := make([]discovery.Instance, maxProbes+5)
		for i := range list {
			list[i] = discovery.Instance{ID: string(rune('a' + i)), Addr: "a:1"}
		}
		s.balancer.Update(list)
		for _, e := range s.balancer.Endpoints() {
			s.prober.ask(e)
		}
		synctest.Wait()
		if n := len(s.prober.asked); n != maxProbes {
			t.Errorf("%d probes are under way, want %d", n, maxProbes)
		}
	})
}

// Those that do not report are not remembered for longer than that matters.
func TestMuteIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := probed(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for i := range 3 {
			s.balancer.Update([]discovery.Instance{{ID: string(rune('a' + i)), Addr: "a:1"}})
			s.prober.ask(s.balancer.Endpoints()[0])
			synctest.Wait()
			if n := len(s.prober.mute); n != 1 {
				t.Errorf("%d endpoints are remembered, want 1", n)
			}
			time.Sleep(probeMute)
		}
	})
}

// Who is called by TLS is asked by TLS.
func TestProbesByTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := probed(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked without TLS") }))
		secure, err := s.client.addService(serviceKey{host: "cart", tls: true})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		secure.prober.ask(secure.balancer.Endpoints()[0])
		synctest.Wait()
		if len(secure.prober.mute) != 0 {
			t.Error("a server that cannot be connected to is taken for one that does not report")
		}
	})
}

// What is in this process, or not of the fleet, is not asked.
func TestNobodyElseIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked") })
		asking := Policy{Balance: balance.Policy{Name: balance.Prequal}}
		s := probed(t, h, WithLocal("here", h, 1), WithPolicy(asking))
		outside, err := s.client.addService(serviceKey{host: "a:1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := outside.balancer.Pick(nil); err != nil {
			t.Fatal(err)
		}
		here, err := s.client.addService(serviceKey{host: "here"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := here.balancer.Pick(nil); err != nil {
			t.Fatal(err)
		}
		here.prober.ask(here.balancer.Endpoints()[0])
		synctest.Wait()
		if len(here.prober.mute) != 0 {
			t.Error("asked, and not answered")
		}
	})
}
