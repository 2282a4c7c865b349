package transport

import "net/http"

// WithHashKey sets what makes the hash key of a call to service, for policies
// that go by one: calls with the same key go to the same endpoint. An empty key
// leaves it to what balance.Policy looks for in the request. key runs once for
// each call that is not refused at once, in the caller's goroutine; it must not
// change the request or read its body.
func WithHashKey(service string, key func(*http.Request) string) ClientOption {
	return clientOption(func(c *clientConfig) { c.hashKeys[service] = key })
}

// attributes is a call as a balance.Request: what the policy does not ask for
// costs nothing.
type attributes call

// Header returns the first value of the header name.
func (a *attributes) Header(name string) string { return a.req.Header.Get(name) }

// Cookie returns the value of the first cookie of that name.
func (a *attributes) Cookie(name string) string {
	c, err := a.req.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// Query returns the first value of the URL's parameter name. What the URL has
// is parsed once for a call.
func (a *attributes) Query(name string) string {
	if a.query == nil {
		a.query = a.req.URL.Query()
	}
	return a.query.Get(name)
}

// describe tells the balancer what it may ask of the call.
func (k *call) describe() {
	k.want.Tried, k.want.Request = k.space[:0], (*attributes)(k)
	if key := k.svc.hashKey; key != nil {
		k.want.Key = key(k.req)
	}
}
