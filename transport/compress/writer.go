package compress

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// state is what has been decided about a response.
type state uint8

const (
	pending state = iota // held back: it may be too small
	passing              // goes out as it is
	packing              // goes out compressed
)

// responseWriter compresses a response, or not.
type responseWriter struct {
	http.ResponseWriter
	c      *compressor
	wanted bool // by the client
	state  state
	status int    // zero before the handler has begun its response
	held   []byte // of the body, while the state is pending
	z      *gzip.Writer
}

// Unwrap serves http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader decides, if the header tells enough.
func (w *responseWriter) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols || w.state == passing {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if w.status != 0 {
		return
	}
	w.status = status
	h := w.Header()
	length, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	switch {
	case !w.varies(), !w.wanted, status == http.StatusNotModified, err == nil && length < int64(w.c.settings.MinBytes):
		w.pass()
	case h["Content-Type"] != nil && (err == nil || h["Trailer"] != nil): // trailers are set after the header is out
		w.pack()
	}
}

// varies reports whether the response could be compressed for some client, and
// says so in its header.
func (w *responseWriter) varies() bool {
	h := w.Header()
	contentType, known := h["Content-Type"]
	if !variable(w.status, h) || known && (len(contentType) == 0 || !w.c.settings.compressible(contentType[0])) {
		return false
	}
	addVary(h)
	return true
}

// variable reports whether a response with this status and header could be
// compressed for one client and not for another.
func variable(status int, h http.Header) bool {
	switch status {
	case http.StatusSwitchingProtocols, http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent:
		return false
	}
	for _, name := range []string{"Content-Encoding", "Content-Range", "Content-Digest", "Repr-Digest", "Digest", "Content-Md5"} {
		if h[name] != nil {
			return false
		}
	}
	for _, v := range h["Cache-Control"] {
		if strings.Contains(strings.ToLower(v), "no-transform") {
			return false
		}
	}
	return true
}

// addVary says that the response depends on Accept-Encoding, once.
func addVary(h http.Header) {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "Accept-Encoding") {
				return
			}
		}
	}
	h.Add("Vary", "Accept-Encoding")
}

// pass sends the header and what was held back as they are.
func (w *responseWriter) pass() {
	w.state = passing
	w.ResponseWriter.WriteHeader(w.status)
	if len(w.held) > 0 {
		_, _ = w.ResponseWriter.Write(w.held) // the next Write fails too
		w.held = nil
	}
}

// pack sends the header of a compressed response and begins its body.
func (w *responseWriter) pack() {
	w.state = packing
	h := w.Header()
	h.Set("Content-Encoding", "gzip")
	h.Del("Content-Length")
	h.Del("Accept-Ranges")
	if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) {
		h.Set("Etag", "W/"+tag)
	}
	w.ResponseWriter.WriteHeader(w.status)
	w.z = w.c.writers.Get().(*gzip.Writer)
	w.z.Reset(w.ResponseWriter)
	if len(w.held) > 0 {
		_, _ = w.z.Write(w.held) // its error is that of the next Write
		w.held = nil
	}
}

// decide ends the holding back, now that the body begins with what is held and
// p. A type that the handler did not set is guessed as net/http does.
func (w *responseWriter) decide(p []byte) {
	h := w.Header()
	if h["Content-Type"] == nil {
		sample := p
		if len(w.held) > 0 {
			sample = slices.Concat(w.held, p[:min(len(p), 512)])
		}
		if len(sample) == 0 {
			w.pass()
			return
		}
		h.Set("Content-Type", http.DetectContentType(sample))
	}
	if w.c.settings.compressible(h.Get("Content-Type")) {
		w.pack()
	} else {
		w.pass()
	}
}

// Write holds p back or passes it on, compressed or not.
func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.state == pending {
		if len(w.held)+len(p) < w.c.settings.MinBytes {
			w.held = append(w.held, p...)
			return len(p), nil
		}
		w.decide(p)
	}
	if w.state == packing {
		return w.z.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom lets the writer below copy files without a detour through memory,
// if they pass.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.state == passing {
		return io.Copy(w.ResponseWriter, r)
	}
	// Of a response that has not begun, the first part decides.
	begun, err := io.CopyN(struct{ io.Writer }{w}, r, int64(max(w.c.settings.MinBytes, 512)))
	switch {
	case errors.Is(err, io.EOF):
		return begun, nil
	case err != nil:
		return begun, err
	case w.state == passing:
		n, err := io.Copy(w.ResponseWriter, r)
		return begun + n, err
	}
	n, err := io.Copy(struct{ io.Writer }{w}, r)
	return begun + n, err
}

// Flush sends what there is.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *responseWriter) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.state == pending {
		w.decide(nil)
	}
	if w.state == packing {
		if err := w.z.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack gives the connection to the handler: what it sends is its own.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.status, w.state = http.StatusSwitchingProtocols, passing
	}
	return conn, rw, err
}

// finish ends a response whose handler has returned.
func (w *responseWriter) finish() {
	switch {
	case w.status == 0:
		w.varies() // net/http sends the header
	case w.state == pending:
		w.pass()
	case w.state == packing:
		_ = w.z.Close() // the client is gone: nobody is left to tell
	}
}

// recycle keeps the compressor for another response.
func (w *responseWriter) recycle() {
	if w.z != nil {
		w.z.Reset(nil)
		w.c.writers.Put(w.z)
		w.z = nil
	}
}
