package storefront

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gabion-go/gabion/transport"
)

// maxAnswer bounds what a neighbour may say, in bytes.
const maxAnswer = 1 << 20

var errGarbage = errors.New("storefront: an answer that makes no sense")

// peer is one neighbour.
type peer struct {
	service string
	client  *http.Client
}

// call is one request to a peer.
type call struct {
	method string
	path   []string // segments, not escaped
	key    string   // the idempotency key; empty for none
	body   any      // nil for none
}

// answer is what came back, whatever its status.
type answer struct {
	status int
	body   []byte
}

// do sends c. The error is an [*UnavailableError].
func (p peer) do(ctx context.Context, c call) (answer, error) {
	a, err := p.send(ctx, c)
	if err != nil {
		return answer{}, p.unavailable(err)
	}
	return a, nil
}

func (p peer) send(ctx context.Context, c call) (answer, error) {
	req, err := p.request(ctx, c)
	if err != nil {
		return answer{}, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, err
	}
	if len(body) > maxAnswer {
		return answer{}, fmt.Errorf("%w: more than %d bytes", errGarbage, maxAnswer)
	}
	return answer{resp.StatusCode, body}, nil
}

func (p peer) request(ctx context.Context, c call) (*http.Request, error) {
	var body io.Reader
	if c.body != nil {
		data, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	segments := make([]string, 0, len(c.path))
	for _, s := range c.path {
		segments = append(segments, url.PathEscape(s))
	}
	req, err := http.NewRequestWithContext(ctx, c.method, "http://"+p.service+"/"+strings.Join(segments, "/"), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set(transport.HeaderIdempotencyKey, c.key)
	}
	return req, nil
}

func (p peer) unavailable(err error) error { return &UnavailableError{p.service, err} }

func (p peer) garbage(why string) error {
	return p.unavailable(fmt.Errorf("%w: %s", errGarbage, why))
}

// read sends c, a question whose answer is 200 with a JSON value for out. 404
// is ErrNotFound; anything else means that the peer is of no use.
func (p peer) read(ctx context.Context, c call, out any) error {
	a, err := p.do(ctx, c)
	switch {
	case err != nil:
		return err
	case a.status == http.StatusNotFound:
		return ErrNotFound
	case a.status != http.StatusOK:
		return p.unavailable(fmt.Errorf("status %d", a.status))
	}
	return p.decode(a, out)
}

func (p peer) decode(a answer, out any) error {
	if err := json.Unmarshal(a.body, out); err != nil {
		return p.unavailable(fmt.Errorf("%w: %w", errGarbage, err))
	}
	return nil
}

// refused returns the reason that a peer gave in a problem.
func (a answer) refused() *RefusedError {
	e := &RefusedError{Status: a.status, Title: http.StatusText(a.status)}
	var p transport.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		return e // a status without words
	}
	e.Type, e.Detail = p.Type, p.Detail
	if p.Title != "" {
		e.Title = p.Title
	}
	for _, name := range []string{"product", "available", "order"} {
		if v, ok := p.Extra[name]; ok {
			if e.Extra == nil {
				e.Extra = make(map[string]any)
			}
			e.Extra[name] = v
		}
	}
	return e
}
