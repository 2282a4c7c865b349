package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// localBuffer is how much of a response is held back, so that most have a
// length.
const localBuffer = 4 << 10

// localWriter is the ResponseWriter of a handler that is called in process. It
// does what net/http does on the wire: the header is that of the moment of
// WriteHeader and goes out, with what was written, when the handler flushes,
// fills the buffer or returns; a body keeps to its Content-Length.
type localWriter struct {
	req    *http.Request
	trace  *httptrace.ClientTrace // never nil
	state  requestState
	header chan struct{} // closed when resp, or err, may be read
	resp   *http.Response
	err    error       // why there is no response
	last   http.Header // the trailers; to be read once the body is at its end
	reader *io.PipeReader
	writer *io.PipeWriter
	cancel context.CancelFunc

	// Of the handler's goroutine alone.

	head      http.Header // what the handler sees
	sent      http.Header // as it was when the response began
	announced []string    // the trailers that it named
	status    int         // zero before that
	length    int64       // that was announced, -1 if none was
	written   int64
	buf       *bufio.Writer
	out       bool // the header is
	returned  bool // the handler has

	mu    sync.Mutex
	limit *time.Timer // of SetWriteDeadline
}

func newLocalWriter(req *http.Request, cancel context.CancelFunc) *localWriter {
	w := &localWriter{req: req, trace: httptrace.ContextClientTrace(req.Context()), head: http.Header{}, header: make(chan struct{}), cancel: cancel, length: -1}
	if w.trace == nil {
		w.trace = &httptrace.ClientTrace{}
	}
	w.reader, w.writer = io.Pipe()
	w.buf = bufio.NewWriterSize(localSink{w}, localBuffer)
	return w
}

// serve runs the handler, and ends the response as it ended.
func (w *localWriter) serve(h http.Handler, in *http.Request) {
	defer w.cancel()
	ctx, cancel := context.WithCancel(in.Context())
	in = in.WithContext(ctx)
	defer func() {
		v := recover()
		cancel()
		_ = in.Body.Close()
		if in.MultipartForm != nil {
			_ = in.MultipartForm.RemoveAll()
		}
		switch {
		case w.returned:
			w.finish()
		case v == nil:
			w.fail(errors.New("transport: local handler ended without returning")) // runtime.Goexit
		case isAbort(v):
			w.fail(io.ErrUnexpectedEOF)
		default:
			w.fail(fmt.Errorf("transport: local handler panicked: %v", v))
		}
		_ = w.SetWriteDeadline(time.Time{})
	}()
	h.ServeHTTP(w, in)
	w.returned = true
}

// finish ends a response whose handler has returned.
func (w *localWriter) finish() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	err := w.buf.Flush()
	if !w.out {
		w.commit(nil)
	}
	if err == nil && w.written < w.length && w.hasBody() {
		err = io.ErrUnexpectedEOF
	}
	w.last = w.trailers()
	_ = w.writer.CloseWithError(err)
}

// fail ends a response that did not come to its end: with an error of its body
// if the header is out, else of the round trip, as when a connection breaks.
func (w *localWriter) fail(err error) {
	_ = w.writer.CloseWithError(err)
	if !w.out {
		w.out, w.err = true, err
		close(w.header)
	}
}

// trailers returns what the handler has set of them.
func (w *localWriter) trailers() http.Header {
	all := http.Header{}
	for name, values := range w.head {
		if key, ok := cutTrailer(name); ok {
			all[key] = values
		} else if slices.Contains(w.announced, name) {
			all[name] = values
		}
	}
	return all
}

func cutTrailer(name string) (string, bool) {
	if len(name) > len(http.TrailerPrefix) && name[:len(http.TrailerPrefix)] == http.TrailerPrefix {
		return name[len(http.TrailerPrefix):], true
	}
	return "", false
}

// hasBody reports whether the response's body reaches the caller.
func (w *localWriter) hasBody() bool { return w.req.Method != http.MethodHead && bodyAllowed(w.status) }

// bodyAllowed reports whether responses of a status may have a body.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// Header implements [http.ResponseWriter].
func (w *localWriter) Header() http.Header { return w.head }

// WriteHeader implements [http.ResponseWriter].
func (w *localWriter) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %d", status)) // as net/http does
	case w.status != 0:
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.inform(status, w.head.Clone())
		return
	}
	w.status, w.sent = status, w.head.Clone()
	if status >= 500 && w.state.noRetry.Load() {
		w.sent.Set(HeaderNoRetry, "1")
	}
	if v := w.sent.Get("Content-Length"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			w.sent.Del("Content-Length")
			return
		}
		w.length = n
	}
}

// inform tells the caller of an informational response.
func (w *localWriter) inform(status int, h http.Header) {
	if status == http.StatusContinue && w.trace.Got100Continue != nil {
		w.trace.Got100Continue()
	}
	if w.trace.Got1xxResponse == nil {
		return
	}
	if err := w.trace.Got1xxResponse(status, textproto.MIMEHeader(h)); err != nil {
		w.fail(err)
		w.cancel()
	}
}

// Write implements [http.ResponseWriter].
func (w *localWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) > 0 && !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	return w.buf.Write(p)
}

// localSink takes what leaves the buffer.
type localSink struct{ w *localWriter }

func (s localSink) Write(p []byte) (int, error) {
	if !s.w.out {
		s.w.commit(p)
	}
	if !s.w.hasBody() {
		return len(p), nil
	}
	return s.w.writer.Write(p)
}

// commit lets the caller have the response, whose body begins with p.
func (w *localWriter) commit(p []byte) {
	w.out = true
	h := w.sent
	if len(p) > 0 && h["Content-Type"] == nil && h.Get("Content-Encoding") == "" {
		h.Set("Content-Type", http.DetectContentType(p))
	}
	if w.returned && w.length < 0 && h["Trailer"] == nil && bodyAllowed(w.status) && (w.req.Method != http.MethodHead || len(p) > 0) {
		w.length = int64(len(p)) // it is all there is
		h.Set("Content-Length", strconv.Itoa(len(p)))
	}
	if !bodyAllowed(w.status) && w.length < 0 {
		w.length = 0
	}
	w.resp = &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: w.length, Request: w.req, Trailer: http.Header{},
		Body: http.NoBody,
	}
	if w.hasBody() {
		w.resp.Body = &localBody{w.reader, w, w.resp.Trailer}
	}
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			w.announced, w.resp.Trailer[name] = append(w.announced, name), nil
		}
	}
	h.Del("Trailer")
	for name := range h {
		if _, ok := cutTrailer(name); ok {
			delete(h, name)
		}
	}
	close(w.header)
}

// Flush makes what was written so far readable by the caller.
func (w *localWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *localWriter) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	err := w.buf.Flush()
	if !w.out {
		w.commit(nil)
	}
	return err
}

// EnableFullDuplex serves http.ResponseController: bodies go both ways at once
// in any case.
func (w *localWriter) EnableFullDuplex() error { return nil }

// SetWriteDeadline serves http.ResponseController. A response that is not
// written by then breaks off, as over HTTP/2. The zero time lifts the deadline.
func (w *localWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit != nil {
		w.limit.Stop()
		w.limit = nil
	}
	if !t.IsZero() {
		w.limit = time.AfterFunc(time.Until(t), func() { _ = w.writer.CloseWithError(os.ErrDeadlineExceeded) })
	}
	return nil
}
