package health_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/health"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/sony/gobreaker/v2"
)

func TestTCP(t *testing.T) {
	leaktest.Check(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	check := health.TCP(l.Addr().String())
	if err := check(t.Context()); err != nil {
		t.Errorf("listening: %v", err)
	}
	l.Close()
	if err := check(t.Context()); err == nil {
		t.Error("closed: got nil, want an error")
	}
}

func TestHTTP(t *testing.T) {
	leaktest.Check(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "fine") })
	mux.HandleFunc("/created", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) })
	mux.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	mux.Handle("/moved", http.RedirectHandler("/ok", http.StatusFound))
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/mute", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for path, want := range map[string]string{
		"/ok": "", "/created": "", "/endless": "",
		"/sick": "status 500", "/moved": "status 302", "/none": "status 404", "/mute": "deadline exceeded",
	} {
		t.Run(path, func(t *testing.T) {
			ctx := t.Context()
			if path == "/mute" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
				defer cancel()
			}
			url := strings.Replace(srv.URL, "://", "://shop:hunter2@", 1) + path + "?k=hunter2"
			err := health.HTTP(srv.Client(), url)(ctx)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("secret shown: %v", err)
			}
		})
	}
	if err := health.HTTP(srv.Client(), "http://%zz")(t.Context()); err == nil {
		t.Error("bad URL: got nil, want an error")
	}
	if err := health.HTTP(nil, srv.URL)(t.Context()); err == nil {
		t.Error("no client: got nil, want an error")
	}
}

// database is a driver whose ping answers err.
type database struct{ err error }

func (d *database) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d *database) Driver() driver.Driver                        { return nil }
func (d *database) Ping(context.Context) error                   { return d.err }
func (d *database) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (d *database) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (d *database) Close() error                                 { return nil }

func TestSQL(t *testing.T) {
	leaktest.Check(t)
	d := &database{}
	db := sql.OpenDB(d)
	defer db.Close()
	if err := health.SQL(db)(t.Context()); err != nil {
		t.Errorf("well: %v", err)
	}
	d.err = errDown
	if err := health.SQL(db)(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("got %v, want %v", err, errDown)
	}
}

func TestDiskSpace(t *testing.T) {
	if err := health.DiskSpace(t.TempDir(), 1)(t.Context()); err != nil {
		t.Errorf("one byte: %v", err)
	}
	if err := health.DiskSpace(t.TempDir(), math.MaxUint64)(t.Context()); err == nil {
		t.Error("all bytes: got nil, want an error")
	}
	if err := health.DiskSpace(filepath.Join(t.TempDir(), "none"), 1)(t.Context()); err == nil {
		t.Error("no such path: got nil, want an error")
	}
}

func TestGoroutines(t *testing.T) {
	if err := health.Goroutines(1 << 20)(t.Context()); err != nil {
		t.Error(err)
	}
	if err := health.Goroutines(1)(t.Context()); err == nil {
		t.Error("at most one: got nil, want an error")
	}
}

func TestBreaker(t *testing.T) {
	for state, well := range map[gobreaker.State]bool{
		gobreaker.StateClosed: true, gobreaker.StateHalfOpen: true, gobreaker.StateOpen: false,
	} {
		err := health.Breaker(func() gobreaker.State { return state })(t.Context())
		if (err == nil) != well {
			t.Errorf("%v: got %v", state, err)
		}
	}
}
