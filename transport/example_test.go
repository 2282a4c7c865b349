package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/instrument"
)

// An http.Client that knows services instead of machines.
func ExampleNewClient() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "a quote for %s", r.URL.Query().Get("product"))
	}))
	defer server.Close()
	registry, err := static.New(map[string][]discovery.Instance{
		"pricing": {{ID: "pricing-1", Service: "pricing", Addr: server.Listener.Addr().String()}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer registry.Close()

	transportClient, err := transport.NewClient(registry)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer transportClient.Close()
	client := &http.Client{Transport: transportClient}

	resp, err := client.Get("http://pricing/v1/quote?product=teapot")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output: a quote for teapot
}

// A fallback answers when the service cannot.
func ExampleWithFallback() {
	registry, _ := static.New(nil)
	defer registry.Close()
	lastKnown := func(_ context.Context, _ *http.Request, err error) (*http.Response, error) {
		fmt.Println("pricing is gone:", errors.Is(err, transport.ErrNoInstances))
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("the price of yesterday"))}, nil
	}
	c, _ := transport.NewClient(registry, transport.WithFallback("pricing", lastKnown))
	defer c.Close()

	resp, err := c.HTTPClient().Get("http://pricing/v1/quote")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output:
	// pricing is gone: true
	// the price of yesterday
}

// What went wrong is asked with errors.Is and errors.AsType.
func ExampleError() {
	registry, _ := static.New(nil)
	defer registry.Close()
	c, _ := transport.NewClient(registry)
	defer c.Close()

	_, err := c.HTTPClient().Get("http://cart/carts/7")
	fmt.Println("nobody there:", errors.Is(err, transport.ErrNoInstances))
	fmt.Println("circuit open:", errors.Is(err, breaker.ErrOpen))
	if e, ok := errors.AsType[*transport.Error](err); ok {
		fmt.Println("may be sent again:", !e.Sent)
	}
	// Output:
	// nobody there: true
	// circuit open: false
	// may be sent again: true
}

// A service that lives in this process is called like any other.
func ExampleWithLocal() {
	pricing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from this process") })
	registry, _ := static.New(nil)
	defer registry.Close()
	c, _ := transport.NewClient(registry, transport.WithLocal("pricing", pricing, 1))
	defer c.Close()

	resp, err := c.HTTPClient().Get("http://pricing/v1/quote")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output: from this process
}

func ExampleDecodeJSON() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Quantity int `json:"quantity"`
		}
		if err := transport.DecodeJSON(w, r, &in); err != nil {
			return // the client has been told
		}
		fmt.Fprintf(w, "%d in the cart", in.Quantity)
	})
	for _, body := range []string{`{"quantity":2}`, `{"quantity":"two"}`, `{"amount":2}`} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body)))
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 2 in the cart
	// 400 {"detail":"quantity: got a JSON string, want a whole number in range","status":400,"title":"Bad Request"}
	// 400 {"detail":"unknown member \"amount\"","status":400,"title":"Bad Request"}
}

func ExampleDecodeQuery() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := struct {
			Text  string   `form:"q"`
			Tags  []string `form:"tag"`
			Limit int      `form:"limit"`
		}{Limit: 20}
		if err := transport.DecodeQuery(w, r, &in); err != nil {
			return // the client has been told
		}
		fmt.Fprintf(w, "%d of %q with %q", in.Limit, in.Text, in.Tags)
	})
	for _, query := range []string{"q=lamp&tag=new&tag=red", "q=lamp&limit=many", "q=lamp&tag[999999999]=new"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?"+query, nil))
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 20 of "lamp" with ["new" "red"]
	// 400 {"detail":"limit: want a whole number in range","status":400,"title":"Bad Request"}
	// 400 {"detail":"unknown parameter \"tag[999999999]\"","status":400,"title":"Bad Request"}
}

// comparison is an observer of shadows alone: the rest is what it embeds.
type comparison struct {
	transport.Observer
	seen chan transport.Shadow
}

func (c comparison) Shadow(s transport.Shadow) { c.seen <- s }

// A new version gets a share of the requests a second time before it gets any
// calls; what it answers is compared and thrown away.
func ExampleShadowObserver() {
	serve := func(status int) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	}
	v1, v2 := serve(http.StatusOK), serve(http.StatusNotFound)
	defer v1.Close()
	defer v2.Close()
	registry, _ := static.New(map[string][]discovery.Instance{"pricing": {
		{ID: "pricing-1", Service: "pricing", Addr: v1.Listener.Addr().String(), Version: "v1"},
		{ID: "pricing-2", Service: "pricing", Addr: v2.Listener.Addr().String(), Version: "v2"},
	}})
	defer registry.Close()

	var policy transport.Policy
	if err := json.Unmarshal([]byte(`{"balance": {
		"select": {"version": "v1"},
		"shadow": {"select": {"version": "v2"}, "percent": 100}
	}}`), &policy); err != nil {
		fmt.Println(err)
		return
	}
	compare := comparison{instrument.Client(nil, nil), make(chan transport.Shadow, 1)}
	c, _ := transport.NewClient(registry, transport.WithServicePolicy("pricing", policy), transport.WithObserver(compare))
	defer c.Close()

	resp, err := c.HTTPClient().Get("http://pricing/v1/quote")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println("the caller gets", resp.StatusCode)
	s := <-compare.seen
	fmt.Println(s.Instance.ID, "would have answered", s.Status, "which is a", s.Result)
	// Output:
	// the caller gets 200
	// pricing-2 would have answered 404 which is a mismatch
}

// What answers when the service cannot is data: the last good response, another
// service, a value, in this order.
func ExampleFallback() {
	registry, _ := static.New(nil) // that knows nobody
	defer registry.Close()
	var policy transport.Policy
	err := json.Unmarshal([]byte(`{
		"timeout": "1s",
		"fallback": {"last_good": "5m", "value": {"body": {"price": null}}},
		"routes": {"GET /v1/stock/{id}": {"fallback": {}}}
	}`), &policy)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := transport.NewClient(registry, transport.WithServicePolicy("pricing", policy))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	resp, err := c.HTTPClient().Get("http://pricing/v1/quote/1")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, resp.Header.Get(transport.HeaderFallback), string(body))
	// Output: 200 value {"price": null}
}
