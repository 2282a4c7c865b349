package health

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
)

// maxBody is how much of an answer's body the HTTP check reads, so that the
// connection can be used again.
const maxBody = 64 << 10

// TCP returns a check that addr, a host:port, accepts connections. Not for
// [Liveness].
func TCP(addr string) Check {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("health: %w", err)
		}
		return conn.Close()
	}
}

// HTTP returns a check that a GET of rawURL answers 2xx. Redirects are not
// followed and fail. At most 64 KiB of the body are read. client must not be
// nil; its CheckRedirect is not used. Not for [Liveness].
func HTTP(client *http.Client, rawURL string) Check {
	if client == nil {
		return func(context.Context) error { return errors.New("health: no HTTP client") }
	}
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, http.NoBody)
		if err != nil {
			return errors.New("health: bad URL")
		}
		resp, err := direct.Do(req)
		if err != nil {
			return fmt.Errorf("health: GET %s: %w", req.URL.Host, withoutURL(err))
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
		if resp.StatusCode < 200 || resp.StatusCode > 299 {
			return fmt.Errorf("health: GET %s: status %d", req.URL.Host, resp.StatusCode)
		}
		if err != nil {
			return fmt.Errorf("health: GET %s: read body: %w", req.URL.Host, err)
		}
		return nil
	}
}

// withoutURL takes the URL, whose query may hold a token, out of an error of
// http.Client.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// SQL returns a check that db answers a ping. Not for [Liveness].
func SQL(db *sql.DB) Check {
	return func(ctx context.Context) error {
		if err := db.PingContext(ctx); err != nil {
			return fmt.Errorf("health: ping: %w", err)
		}
		return nil
	}
}

// DiskSpace returns a check that the file system of path has at least minFree
// bytes left for unprivileged users. On systems without statfs it fails.
func DiskSpace(path string, minFree uint64) Check {
	return func(context.Context) error {
		free, err := diskFree(path)
		if err != nil {
			return fmt.Errorf("health: disk space of %s: %w", path, err)
		}
		if free < minFree {
			return fmt.Errorf("health: %s has %d bytes left, want %d", path, free, minFree)
		}
		return nil
	}
}

// Goroutines returns a check that no more than most goroutines exist: the
// usual sign of a leak, and fit for [Liveness].
func Goroutines(most int) Check {
	return func(context.Context) error {
		if n := runtime.NumGoroutine(); n > most {
			return fmt.Errorf("health: %d goroutines, want at most %d", n, most)
		}
		return nil
	}
}

// Breaker returns a check that a circuit breaker is not open. state is read at
// every run; any state fits that prints "open", so the method values of this
// library's breakers and of gobreaker's do. An open circuit is no reason to
// send callers away from everything else the service does: the check is best
// added with [WithDegradeOnly].
func Breaker[S fmt.Stringer](state func() S) Check {
	return func(context.Context) error {
		if s := state().String(); s == "open" {
			return errors.New("health: circuit open")
		}
		return nil
	}
}
