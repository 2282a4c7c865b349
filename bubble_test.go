package gabion_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/internal/memnet"
)

// A whole service, listeners and signals included, runs in virtual time.
func TestServiceInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memnet.Network
		public, err := network.Listen("shop-1:80")
		if err != nil {
			t.Fatal(err)
		}
		admin, err := network.Listen("shop-1:81")
		if err != nil {
			t.Fatal(err)
		}
		var passed []string
		note := func(name string) gabion.Option {
			return gabion.WithMiddleware(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					passed = append(passed, name)
					next.ServeHTTP(w, r)
				})
			})
		}
		svc, err := gabion.New("shop",
			gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "static:other=127.0.0.1:1")),
			gabion.WithLogger(slog.New(slog.DiscardHandler)),
			gabion.WithListener(public), gabion.WithAdvertise("shop-1:80"),
			gabion.WithAdminListener(admin), gabion.WithSignals(),
			note("outer"), note("inner"))
		if err != nil {
			t.Fatal(err)
		}
		svc.HandleFunc("GET /slow", func(w http.ResponseWriter, _ *http.Request) { time.Sleep(5 * time.Second); w.WriteHeader(204) })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- svc.Run(ctx) }()
		synctest.Wait()

		client := &http.Client{Transport: &http.Transport{DialContext: network.Dial, DisableKeepAlives: true}}
		for url, want := range map[string]int{
			"http://shop-1:80/slow": 204, "http://shop-1:80/none": 404,
			"http://shop-1:81/readyz": 200, "http://shop-1:81/slow": 404,
		} {
			resp, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: status %d, want %d", url, resp.StatusCode, want)
			}
		}
		if want := []string{"outer", "inner"}; !slices.Equal(passed, want) {
			t.Errorf("middleware ran %v, want %v", passed, want)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}
