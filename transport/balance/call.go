package balance

import "time"

// A Call is what a balancer may want to know of the call that it picks for. The
// zero Call is a first attempt of which nothing is known.
type Call struct {
	// Tried are the endpoints that earlier attempts of the call went to.
	Tried []*Endpoint
	// Key is what a policy that goes by hash goes by. Empty leaves it to
	// [Hash.By].
	Key string
	// Request answers what the policy asks of the request: for its splits, its
	// hash, its sticky sessions. Nil has no headers, cookies and queries.
	Request Request
	// Now is the present, for who has just read the clock: reading it once more
	// is a good part of what a pick costs. It must carry a monotonic reading, as
	// that of time.Now does. Zero: the balancer reads the clock itself.
	Now time.Time
	// Explain, if it is not nil, is told why the call goes where it goes. That
	// takes longer than the pick itself, in proportion to the endpoints.
	Explain *Explanation
}

// A Request gives what a policy may look at. What there is none of is empty; of
// what there is more than one of, the first counts.
type Request interface {
	// Header returns the field of that name.
	Header(name string) string
	// Cookie returns the value of the cookie of that name.
	Cookie(name string) string
	// Query returns the parameter of that name in the URL.
	Query(name string) string
}

// from returns what the request has in the place that s names.
func (c *Call) from(s Source) string {
	switch {
	case c.Request == nil:
		return ""
	case s.Header != "":
		return c.Request.Header(s.Header)
	case s.Cookie != "":
		return c.Request.Cookie(s.Cookie)
	default:
		return c.Request.Query(s.Query)
	}
}

// key returns the first of sources that the request has, or "".
func (c *Call) key(sources []Source) string {
	for _, s := range sources {
		if v := c.from(s); v != "" {
			return v
		}
	}
	return ""
}
