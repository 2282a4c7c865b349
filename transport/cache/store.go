package cache

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/httpmsg"
)

// key is a hash of what tells entries apart, so that no credentials are kept.
type key [sha256.Size]byte

// item is what is stored under a key: a resource or an entry. It is never
// changed, but replaced.
type item struct {
	resource *resource
	entry    *entry
	weight   uint32
}

// resource is what is known of a URL: by which header fields of the request its
// responses are told apart. Entries of an earlier generation are void.
type resource struct {
	generation uint64
	vary       []string  // canonical and sorted
	voided     time.Time // when a write made earlier responses void
}

// maxVary is the most header fields that responses may vary by.
const maxVary = 32

// overhead is about what an item takes beside its texts.
const overhead = 512

// resourceKey returns the key of the URL that req asks for.
func resourceKey(req *http.Request) key {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	return urlKey(req.URL.Scheme, host, req.URL.RequestURI())
}

func urlKey(scheme, host, uri string) key {
	var space [256]byte
	b := part(space[:0], "url")
	b = part(b, strings.ToLower(scheme))
	b = part(b, strings.ToLower(host))
	return sha256.Sum256(part(b, uri))
}

// entryKey returns the key of the response to a request with header h.
func entryKey(url key, r *resource, h http.Header) key {
	var space [512]byte
	b := append(part(space[:0], "entry"), url[:]...)
	b = strconv.AppendUint(b, r.generation, 10)
	for _, name := range r.vary {
		b = part(b, name)
		values := h[name]
		b = strconv.AppendInt(b, int64(len(values)), 10)
		for _, v := range values {
			b = part(b, strings.TrimSpace(v))
		}
	}
	return sha256.Sum256(b)
}

// part appends s so that it cannot run into the next.
func part(b []byte, s string) []byte {
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ' ')
	return append(b, s...)
}

// find returns the entry for req, or nil, and whether there is any for its URL.
func (c *Cache) find(req *http.Request) (e *entry, known bool) {
	url := resourceKey(req)
	r := c.resource(url)
	if r == nil || r.vary == nil {
		return nil, false
	}
	i, ok := c.items.GetIfPresent(entryKey(url, r, req.Header))
	if !ok {
		return nil, true
	}
	return i.entry, true
}

func (c *Cache) resource(url key) *resource {
	i, ok := c.items.GetIfPresent(url)
	if !ok {
		return nil
	}
	return i.resource
}

// put stores e as the response to req, unless a write has come between.
func (c *Cache) put(req *http.Request, e *entry) {
	names, ok := c.variesBy(e)
	if !ok {
		return
	}
	url := resourceKey(req)
	c.mu.Lock()
	r := c.resource(url)
	if r != nil && !e.asked.After(r.voided) {
		c.mu.Unlock()
		return
	}
	r, ok = c.widen(url, r, names)
	c.mu.Unlock()
	if ok {
		c.items.Set(entryKey(url, r, req.Header), &item{entry: e, weight: e.weight()})
	}
}

// variesBy returns the header fields by which responses such as e are told
// apart; not ok if no request is known to be the same.
func (c *Cache) variesBy(e *entry) (names []string, ok bool) {
	names = slices.Clone(c.always)
	open := c.settings.Shared && (e.says.has("public") || e.says.has("s-maxage"))
	if !open {
		names = append(names, "Authorization", "Cookie")
	}
	for name := range httpmsg.Elements(e.header["Vary"]) {
		if name == "*" {
			return nil, false
		}
		names = append(names, http.CanonicalHeaderKey(name))
	}
	return names, true
}

// widen makes r, the resource at url, tell apart by names too. It has to be told
// apart by all that its responses have ever varied by: one of them may be asked
// for with any. c.mu must be held.
func (c *Cache) widen(url key, r *resource, names []string) (*resource, bool) {
	next := resource{vary: names}
	if r != nil {
		next = *r
		next.vary = append(slices.Clone(r.vary), names...)
	} else {
		c.generation++
		next.generation = c.generation
	}
	slices.Sort(next.vary)
	next.vary = slices.Compact(next.vary)
	if len(next.vary) > maxVary {
		return r, false
	}
	if next.vary == nil {
		next.vary = []string{} // nil stands for a URL of which nothing is stored
	}
	if r != nil && r.vary != nil && len(next.vary) == len(r.vary) {
		return r, true
	}
	c.setResource(url, &next)
	return &next, true
}

func (c *Cache) setResource(url key, r *resource) {
	weight := overhead
	for _, name := range r.vary {
		weight += len(name)
	}
	c.items.Set(url, &item{resource: r, weight: uint32(weight)})
}

// keyOf returns the key of the entry for req; not ok if its URL is not known.
func (c *Cache) keyOf(req *http.Request) (k key, ok bool) {
	url := resourceKey(req)
	r := c.resource(url)
	if r == nil {
		return k, false
	}
	return entryKey(url, r, req.Header), true
}

// drop forgets the entry for req.
func (c *Cache) drop(req *http.Request) {
	if k, ok := c.keyOf(req); ok {
		c.items.Invalidate(k)
	}
}

// void makes everything void that is stored for a URL, or is on its way.
func (c *Cache) void(url key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.setResource(url, &resource{generation: c.generation, voided: time.Now()})
}

// invalidate makes void what a write that succeeded may have changed (RFC 9111,
// 4.4): the URL itself, and what the response names on the same host.
func (c *Cache) invalidate(req *http.Request, resp *http.Response) {
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return
	}
	c.void(resourceKey(req))
	for _, name := range []string{"Location", "Content-Location"} {
		u, err := req.URL.Parse(resp.Header.Get(name))
		if err != nil || resp.Header.Get(name) == "" || u.Scheme != req.URL.Scheme || !strings.EqualFold(u.Host, req.URL.Host) {
			continue
		}
		host := req.Host
		if host == "" {
			host = u.Host
		}
		c.void(urlKey(u.Scheme, host, u.RequestURI()))
	}
}
