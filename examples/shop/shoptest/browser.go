package shoptest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A Browser is somebody who uses the shop's JSON API and its pages.
type Browser struct {
	// Base is what URLs begin with, such as http://storefront.
	Base   string
	client *http.Client
}

// Browser returns one that reaches all storefronts, as through a proxy in front
// of the shop.
func (s *Shop) Browser(host string) Browser {
	return Browser{"http://storefront", s.Net.Host(host).Process().Client()}
}

// Direct returns one that reaches a single host and tries nothing twice.
func (s *Shop) Direct(host, to string) Browser {
	return Browser{"http://" + to, s.Net.Host(host).Process().PlainClient()}
}

// An Answer is a response, or nothing if Err is set.
type Answer struct {
	Status   int
	Degraded string // the neighbours that it does without
	Body     string
	Err      error
}

// OK reports whether a is a response whose status is a success.
func (a Answer) OK() bool { return a.Err == nil && a.Status >= 200 && a.Status <= 299 }

// Final reports whether a is a response that repeating the request would not
// change: a success, or a refusal.
func (a Answer) Final() bool {
	return a.Err == nil && a.Status < 500 && a.Status != http.StatusTooManyRequests
}

// Decode reads the body, JSON, into v.
func (a Answer) Decode(v any) error { return json.Unmarshal([]byte(a.Body), v) }

// patience is how long a browser waits for an answer.
const patience = 10 * time.Second

// Do sends a request, with an Idempotency-Key unless key is empty.
func (b Browser) Do(method, path, key, body string) Answer {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.Base+path, strings.NewReader(body))
	if err != nil {
		return Answer{Err: err}
	}
	if body == "" {
		req.Body, req.ContentLength = nil, 0
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return Answer{Err: err}
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or broken
	text, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header.Get("X-Shop-Degraded"), string(text), err}
}

// Get asks for a page or a resource.
func (b Browser) Get(path string) Answer { return b.Do(http.MethodGet, path, "", "") }

// String tells the answer, or why there is none.
func (a Answer) String() string {
	if a.Err != nil {
		return a.Err.Error()
	}
	return fmt.Sprintf("%d without %q: %s", a.Status, a.Degraded, a.Body)
}
