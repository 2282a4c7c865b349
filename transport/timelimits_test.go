package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// timeLimits are what the tests below hold servers to: the defaults, and others
// of which no two are alike.
var timeLimits = map[string]struct {
	settings            transport.ServerSettings
	header, read, write time.Duration
}{
	"defaults": {transport.ServerSettings{}, 5 * time.Second, 30 * time.Second, 30 * time.Second},
	"others": {transport.ServerSettings{ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 7 * time.Second, WriteTimeout: 11 * time.Second},
		2 * time.Second, 7 * time.Second, 11 * time.Second},
}

// onTheDot checks that something happened at its limit: not after it, and not
// before.
func onTheDot(t *testing.T, what string, took, limit time.Duration) {
	t.Helper()
	if took != limit {
		t.Errorf("%s after %v, want %v", what, took, limit)
	}
}

// A header that trickles is cut off at its limit, however lively it is.
func TestHeaderThatTrickles(t *testing.T) {
	for name, tc := range timeLimits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.listen("a:1", answer(200), transport.WithSettings(tc.settings))
				conn, err := f.net.Dial(t.Context(), "tcp", "a:1")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				start := time.Now()
				var sender sync.WaitGroup
				sender.Go(func() {
					_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ")
					for err == nil {
						time.Sleep(100 * time.Millisecond)
						_, err = io.WriteString(conn, "x")
					}
				})
				if _, err := io.Copy(io.Discard, conn); err != nil {
					t.Error(err)
				}
				onTheDot(t, "the connection was closed", time.Since(start), tc.header)
				sender.Wait()
				if n := f.hit("a:1"); n != 0 {
					t.Errorf("the handler ran %d times", n)
				}
			})
		})
	}
}

// trickle is a body of 1000 bytes of which one comes every 100 ms, unless it is
// closed before.
type trickle struct {
	sent   int
	closed chan struct{}
	once   sync.Once
}

func (b *trickle) Read(p []byte) (int, error) {
	if b.sent++; b.sent > 1000 {
		return 0, io.EOF
	}
	select {
	case <-time.After(100 * time.Millisecond):
		p[0] = 'x'
		return 1, nil
	case <-b.closed:
		return 0, errors.New("closed")
	}
}

func (b *trickle) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// endings tells how long each request took.
type endings chan time.Duration

func (endings) StartRequest(ctx context.Context, _ *transport.Request) context.Context { return ctx }
func (e endings) EndRequest(_ context.Context, q *transport.Request)                   { e <- q.Duration }

// A body that trickles is cut off at its limit: of any size, in any framing. A
// small one, which the server reads before it begins, is never shown to the
// handler.
func TestBodyThatTrickles(t *testing.T) {
	for name, tc := range timeLimits {
		for proto, protocols := range bothProtocols() {
			for size, length := range map[string]int64{"small": 10_000, "large": 100_000, "unsized": -1} {
				t.Run(fmt.Sprintf("%s, %s, %s", name, proto, size), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						f := newFleet(t)
						ended := make(endings, 1)
						f.listen("a:1", func(_ http.ResponseWriter, r *http.Request) {
							if size == "small" {
								t.Error("the handler ran")
							}
							if _, err := io.Copy(io.Discard, r.Body); err == nil {
								t.Error("the body that was cut off looked whole")
							}
						}, transport.WithSettings(tc.settings), transport.WithServerProtocols(protocols), transport.WithServerObserver(ended))
						tr := &http.Transport{DialContext: f.net.Dial, Protocols: protocols}
						defer tr.CloseIdleConnections()
						body := &trickle{closed: make(chan struct{})}
						defer func() { _ = body.Close() }() // net/http does not when it is answered early
						req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://a:1/", body)
						req.ContentLength = length
						if resp, err := tr.RoundTrip(req); err == nil {
							_ = resp.Body.Close()
						}
						onTheDot(t, "the body was cut off", <-ended, tc.read)
					})
				})
			}
		}
	}
}

// bothProtocols are HTTP/1.1 and HTTP/2, without TLS.
func bothProtocols() map[string]*http.Protocols {
	var one, two http.Protocols
	one.SetHTTP1(true)
	two.SetUnencryptedHTTP2(true)
	return map[string]*http.Protocols{"HTTP/1.1": &one, "HTTP/2": &two}
}

// A client that stops reading holds a handler no longer than the limit of
// writing, which begins with the end of the header.
func TestReaderThatStops(t *testing.T) {
	for name, tc := range timeLimits {
		for proto, protocols := range bothProtocols() {
			t.Run(name+", "+proto, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t)
					failed := make(chan error, 1)
					f.listen("a:1", func(w http.ResponseWriter, _ *http.Request) {
						var err error
						for piece := make([]byte, 64<<10); err == nil; {
							_, err = w.Write(piece)
						}
						failed <- err
					}, transport.WithSettings(tc.settings), transport.WithServerProtocols(protocols))
					tr := &http.Transport{DialContext: f.net.Dial, Protocols: protocols}
					defer tr.CloseIdleConnections()
					start := time.Now()
					req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a:1/", nil)
					resp, err := tr.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = resp.Body.Close() }()
					<-failed
					onTheDot(t, "the write failed", time.Since(start), tc.write)
					if _, err := io.Copy(io.Discard, resp.Body); err == nil {
						t.Error("the response that was cut off looked whole")
					}
				})
			})
		}
	}
}

// A negative duration lifts its limit: what takes an hour is served.
func TestTimeLimitsLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.listen("a:1", func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(w, r.Body); err != nil {
				t.Error(err)
			}
		}, transport.WithSettings(transport.ServerSettings{ReadHeaderTimeout: -1, ReadTimeout: -1, WriteTimeout: -1, BodyBytes: -1}))
		conn, err := f.net.Dial(t.Context(), "tcp", "a:1")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		go func() {
			var err error
			for _, part := range []string{"POST / HTTP/1.0\r\n", "Content-Length: 100000\r\n\r\n", "whole"} {
				_, err2 := io.WriteString(conn, part)
				err = errors.Join(err, err2)
				time.Sleep(time.Hour)
			}
			_, err2 := conn.Write(bytes.Repeat([]byte("x"), 100_000-len("whole")))
			if err = errors.Join(err, err2); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(4 * time.Hour)
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.0 200")) || len(got) < 100_000 {
			t.Errorf("%d bytes, %.20q, %v; want all that was sent", len(got), got, err)
		}
	})
}
