package transport

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gabion-go/gabion/internal/httpmsg"
	"github.com/gabion-go/gabion/internal/identity"
)

// Bounds of what is remembered of a service for Fallback.LastGood.
const (
	lastGoodBytes   = 8 << 20   // in all
	lastGoodEntries = 1024      // in all
	lastGoodBody    = 256 << 10 // of one body
	lastGoodExtra   = 512       // about what an entry takes beside its texts
)

// lastGood remembers the good responses of a service: those that were used last,
// within its bounds. The zero lastGood is empty.
type lastGood struct {
	mu    sync.Mutex
	known map[goodKey]*list.Element // of *good
	used  list.List                 // the last used first
	bytes int
}

// goodKey is a hash of a request's identity: no credentials are kept.
type goodKey [sha256.Size]byte

// good is a response. It is never changed.
type good struct {
	key    goodKey
	at     time.Time     // when it came
	age    time.Duration // what it was old then
	status int
	header http.Header
	body   []byte
	size   int
}

// old is how long ago the server made the response, as far as is known.
func (g *good) old() time.Duration { return time.Since(g.at) + g.age }

// remembered reports whether responses to req are remembered at all.
func remembered(req *http.Request) bool {
	return (req.Method == "" || req.Method == http.MethodGet) && harmless(req) && req.Header["Range"] == nil
}

func keyOf(req *http.Request) goodKey {
	return sha256.Sum256([]byte(identity.Of(req, "", identity.Incidental)))
}

// watch makes l remember resp, if it is good, when its body has been read to its
// end.
func (l *lastGood) watch(req *http.Request, resp *http.Response) {
	ok := resp.StatusCode >= 200 && resp.StatusCode < 300 && resp.StatusCode != http.StatusPartialContent
	if !ok || !remembered(req) || len(resp.Trailer) > 0 || resp.ContentLength > lastGoodBody || !identity.Shareable(req.Header, resp.Header, identity.Incidental) {
		return
	}
	h := resp.Header.Clone() // the other one is the caller's
	for _, name := range []string{HeaderLoad, "Connection", "Keep-Alive", "Trailer", "Transfer-Encoding"} {
		delete(h, name)
	}
	g := &good{key: keyOf(req), at: time.Now(), status: resp.StatusCode, header: h}
	if s, err := strconv.Atoi(h.Get("Age")); err == nil && s > 0 {
		g.age = time.Duration(min(s, 1<<31)) * time.Second
	}
	if resp.ContentLength == 0 {
		l.add(g)
		return
	}
	resp.Body = &goodBody{ReadCloser: resp.Body, of: l, good: g, resp: resp}
}

// goodBody copies a body while it is read.
type goodBody struct {
	io.ReadCloser
	of     *lastGood
	good   *good // nil when it is remembered, or will not be
	resp   *http.Response
	copied bytes.Buffer
}

// Read reads the body.
func (b *goodBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.good == nil {
		return n, err
	}
	b.copied.Write(p[:n])
	whole := errors.Is(err, io.EOF) || err == nil && int64(b.copied.Len()) == b.resp.ContentLength
	switch {
	case b.copied.Len() > lastGoodBody || err != nil && !whole || len(b.resp.Trailer) > 0: // which nobody announced
		b.good, b.copied = nil, bytes.Buffer{}
	case whole:
		b.good.body = bytes.Clone(b.copied.Bytes())
		b.of.add(b.good)
		b.good, b.copied = nil, bytes.Buffer{}
	}
	return n, err
}

// add remembers g in place of an earlier response, and forgets what there is no
// room for.
func (l *lastGood) add(g *good) {
	g.size = len(g.body) + lastGoodExtra
	for name, values := range g.header {
		g.size += len(name)
		for _, v := range values {
			g.size += len(v)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[goodKey]*list.Element{}
	}
	if e := l.known[g.key]; e != nil {
		l.forget(e)
	}
	l.known[g.key] = l.used.PushFront(g)
	l.bytes += g.size
	for l.bytes > lastGoodBytes || l.used.Len() > lastGoodEntries {
		l.forget(l.used.Back())
	}
}

// forget drops e. The lock must be held.
func (l *lastGood) forget(e *list.Element) {
	g := l.used.Remove(e).(*good)
	delete(l.known, g.key)
	l.bytes -= g.size
}

// find returns the last good response to req, unless it is older than
// oldest, or nil.
func (l *lastGood) find(req *http.Request, oldest time.Duration) *http.Response {
	g := l.get(keyOf(req), oldest)
	if g == nil {
		return nil
	}
	h := g.header.Clone()
	h.Set("Age", strconv.FormatInt(int64(g.old()/time.Second), 10))
	return httpmsg.Response(req, g.status, h, g.body)
}

func (l *lastGood) get(key goodKey, oldest time.Duration) *good {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.known[key]
	if e == nil {
		return nil
	}
	g := e.Value.(*good)
	if g.old() > oldest {
		l.forget(e)
		return nil
	}
	l.used.MoveToFront(e)
	return g
}
