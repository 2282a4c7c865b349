package cache

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"
)

// keep stores resp as the answer to req when its body has been read to its end,
// if it may be stored.
func (t *Transport) keep(req *http.Request, resp *http.Response, asked time.Time) {
	if resp.ContentLength > t.cache.settings.MaxEntryBytes || len(resp.Trailer) > 0 ||
		parseDirectives(req.Header["Cache-Control"]).has("no-store") {
		return
	}
	e := t.cache.newEntry(resp, asked, time.Now())
	if !e.storable(&t.cache.settings, req) {
		return
	}
	if resp.ContentLength == 0 {
		t.cache.put(req, e)
		return
	}
	resp.Body = &keptBody{ReadCloser: resp.Body, resp: resp, req: req, cache: t.cache, entry: e}
}

// keptBody copies a body while the caller reads it.
type keptBody struct {
	io.ReadCloser
	resp  *http.Response
	req   *http.Request
	cache *Cache
	entry *entry // nil when it is stored, or will not be
	buf   bytes.Buffer
}

// Read reads the body.
func (b *keptBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.entry == nil {
		return n, err
	}
	b.buf.Write(p[:n])
	length := b.resp.ContentLength
	whole := (length < 0 || int64(b.buf.Len()) == length) && errors.Is(err, io.EOF) || err == nil && int64(b.buf.Len()) == length
	switch {
	case int64(b.buf.Len()) > b.cache.settings.MaxEntryBytes || err != nil && !whole || whole && len(b.resp.Trailer) > 0:
		b.entry, b.buf = nil, bytes.Buffer{}
	case whole:
		b.entry.body = bytes.Clone(b.buf.Bytes())
		b.cache.put(b.req, b.entry)
		b.entry, b.buf = nil, bytes.Buffer{}
	}
	return n, err
}

// discard reads body to its end, but no more than most, and closes it.
func discard(body io.ReadCloser, most int64) {
	_, _ = io.CopyN(io.Discard, body, most+1)
	_ = body.Close()
}
