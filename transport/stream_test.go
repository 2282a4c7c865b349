package transport_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/compress"
)

// A stream of events outlives the server's timeouts through every layer there
// is, counts as in flight on both sides, and is over in order when the server
// drains.
func TestEventsThroughEverything(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTimedStage(t, way, transport.WithSettings(transport.ServerSettings{ReadTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond}))
				s.http.Transport = compress.Client(s.http.Transport, 0)
				s.serve(transport.Stream(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					ctl := http.NewResponseController(w)
					for i := 0; ; i++ {
						fmt.Fprintf(w, "data: %d\n", i)
						if err := ctl.Flush(); err != nil {
							t.Errorf("flush: %v", err)
							return
						}
						select {
						case <-time.After(20 * time.Millisecond):
						case <-transport.Draining(r.Context()):
							fmt.Fprintln(w, "event: end")
							return
						case <-r.Context().Done():
							t.Errorf("cut off after %d events", i)
							return
						}
					}
				}), 0).ServeHTTP)
				resp := s.send(s.request(t.Context(), "GET", nil))
				if resp == nil || resp.StatusCode != 200 || resp.Header.Get("Content-Encoding") != "" || resp.Uncompressed {
					t.Fatalf("got %+v", resp)
				}
				events := bufio.NewScanner(resp.Body)
				start := time.Now()
				for i := 0; time.Since(start) < 300*time.Millisecond; i++ { // three times the timeouts
					if !events.Scan() || events.Text() != fmt.Sprint("data: ", i) {
						t.Fatalf("got %q %v, want event %d", events.Text(), events.Err(), i)
					}
				}
				if n, m := s.server.InFlight(), s.client.Services()[0].Bulkhead.InFlight(); n != 1 || m != 1 || s.open.String() != "1 calls, 1 attempts, 1 requests" {
					t.Errorf("%d in flight at the server and %d at the client, %v, while a stream runs", n, m, &s.open)
				}
				down := make(chan error, 1)
				go func() {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					defer cancel()
					down <- s.server.Shutdown(ctx)
				}()
				last := ""
				for events.Scan() {
					last = events.Text()
				}
				if events.Err() != nil || last != "event: end" {
					t.Errorf("the stream ended with %q and %v, want its own end", last, events.Err())
				}
				_ = resp.Body.Close()
				if err := <-down; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A caller that waits for news is told when the server drains, by an answer and
// not by a broken connection.
func TestLongPollAndShutdown(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			leaktest.Check(t)
			s := newStage(t, way)
			waiting := make(chan struct{})
			s.serve(func(w http.ResponseWriter, r *http.Request) {
				close(waiting)
				select {
				case <-transport.Draining(r.Context()):
					w.WriteHeader(http.StatusNoContent)
				case <-r.Context().Done():
				}
			})
			go func() {
				<-waiting
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				if err := s.server.Shutdown(ctx); err != nil {
					t.Error(err)
				}
			}()
			resp := s.send(s.request(t.Context(), "GET", nil))
			if resp == nil || resp.StatusCode != 204 {
				t.Fatalf("got %+v, want 204", resp)
			}
			_ = resp.Body.Close()
		})
	}
}

// A long body goes up and down with no more of it in memory than buffers.
func TestLongBodies(t *testing.T) {
	const size = 16 << 20
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			s := newStage(t, way)
			s.serve(transport.Stream(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(io.Discard, r.Body) // more than the server's bound, which Stream lifts
				if n != size || err != nil {
					t.Errorf("read %d bytes, %v", n, err)
				}
				_, err = io.Copy(w, io.LimitReader(zeros{}, size))
				if err != nil {
					t.Error(err)
				}
			}), 0).ServeHTTP)
			resp := s.send(s.request(t.Context(), "POST", io.LimitReader(zeros{}, size)))
			if resp == nil {
				t.Fatalf("no response: %q", s.said)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if n != size || err != nil {
				t.Errorf("got %d bytes, %v", n, err)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
