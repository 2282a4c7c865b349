package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// shop is the storefront as a visitor sees it. It may be used by many
// goroutines.
type shop struct {
	target   string // without a slash at the end
	client   *http.Client
	began    time.Time
	recorder *recorder
	ledger   *ledger
}

// dialer opens a connection, as [net.Dialer.DialContext] does.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// newClient returns a client that opens a connection for whoever needs one,
// uses no proxy and follows nothing to another host.
func newClient(timeout time.Duration, dial dialer) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext:  dial,
			MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second,
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// request is one call to make.
type request struct {
	name, method, path string
	key                string // Idempotency-Key; every POST has one
	body               any    // sent as JSON, if not nil
	mayRefuse          bool   // a conflict is an answer and no failure
}

// answer is what became of a call.
type answer struct {
	status        int // 0 without an answer
	good, refused bool
}

// call makes a call whose intended start is at, records it, and decodes a good
// answer into into, if that is not nil.
func (s *shop) call(ctx context.Context, at time.Time, r request, into any) answer {
	rec := sample{call: r.name, begin: at.Sub(s.began)}
	status, degraded, kind, err := s.exchange(ctx, r, into)
	rec.latency, rec.degraded = time.Since(at), degraded
	switch {
	case err != nil:
		rec.outcome, rec.kind = failed, errorKind(err)
	case status >= 200 && status < 300:
	case r.mayRefuse && (status == http.StatusConflict || status == http.StatusUnprocessableEntity):
		rec.outcome, rec.kind = refused, kind
	default:
		rec.outcome, rec.kind = failed, kind
	}
	s.recorder.add(rec)
	return answer{status: status, good: rec.outcome == ok, refused: rec.outcome == refused}
}

// exchange sends r and reads the answer. kind names what is not a 2xx.
func (s *shop) exchange(ctx context.Context, r request, into any) (status int, degraded, kind string, err error) {
	req, err := s.newRequest(ctx, r)
	if err != nil {
		return 0, "", "", err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	degraded = resp.Header.Get("X-Shop-Degraded")
	switch {
	case err != nil:
		return resp.StatusCode, degraded, "", err
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return resp.StatusCode, degraded, problemKind(resp.StatusCode, body), nil
	case into != nil:
		if err := json.Unmarshal(body, into); err != nil {
			return resp.StatusCode, degraded, "", errUnreadable
		}
	}
	return resp.StatusCode, degraded, "", nil
}

func (s *shop) newRequest(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, s.target+r.path, body)
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	return req, nil
}

var errUnreadable = errors.New("answer that is not the JSON it should be")

// problemKind names an answer by its status and the title of its problem.
func problemKind(status int, body []byte) string {
	var problem struct {
		Title string `json:"title"`
	}
	_ = json.Unmarshal(body, &problem) // without a title the status must do
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, problem.Title))
}

// errorKind names an error without what differs from call to call.
func errorKind(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, errUnreadable):
		return errUnreadable.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed before the answer"
	}
	return fmt.Sprintf("%T", err)
}
