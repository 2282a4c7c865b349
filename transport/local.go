package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/gabion-go/gabion/discovery"
)

// localAddr stands where other endpoints have host:port.
const localAddr = "in-process"

// local is a handler in this process that is called like any endpoint.
type local struct {
	handler http.Handler
	weight  atomic.Int64
}

func newLocal(h http.Handler, weight int) *local {
	l := &local{handler: h}
	l.weight.Store(int64(weight))
	return l
}

func (l *local) instance(service string) discovery.Instance {
	return discovery.Instance{ID: "local:" + service, Service: service, Addr: localAddr, Weight: int(l.weight.Load())}
}

// SetLocalWeight changes the weight of the handler that [WithLocal] has added to
// service, from the next pick on: this is how calls move between this process
// and others while it runs. A negative weight leaves all of them to the others.
// The error is that there is no such handler.
func (c *Client) SetLocalWeight(service string, weight int) error {
	l := c.cfg.locals[service]
	if l == nil {
		return fmt.Errorf("transport: set local weight: no local handler of %q", service)
	}
	l.weight.Store(int64(weight))
	for _, s := range *c.services.Load() {
		if s.name == service {
			s.refresh()
		}
	}
	return nil
}

// RoundTrip runs the handler in a goroutine of its own and returns as soon as
// the response has a header. The goroutine ends with the handler, whose
// context ends with the request's.
func (l *local) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	in := req.Clone(ctx)
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = localAddr
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	in.URL.Scheme, in.URL.Host = "", ""
	if t := httptrace.ContextClientTrace(ctx); t != nil && t.WroteHeaders != nil {
		t.WroteHeaders()
	}
	w := newLocalWriter(req, cancel)
	go w.serve(l.handler, in)
	select {
	case <-w.header:
		if w.err != nil {
			cancel()
			return nil, w.err
		}
		// A handler that is deaf to its context must not hold up who reads.
		context.AfterFunc(ctx, func() { _ = w.writer.CloseWithError(context.Cause(ctx)) })
		return w.resp, nil
	case <-ctx.Done():
		cancel()
		// The handler may have answered at the same moment; its response is
		// nobody's now.
		_ = w.reader.CloseWithError(context.Cause(ctx))
		return nil, context.Cause(ctx)
	}
}

// localWriter is the ResponseWriter of a handler that is called in process.
// What is written is buffered until the handler flushes, fills the buffer or
// returns, as on the wire.
type localWriter struct {
	req    *http.Request
	head   http.Header
	resp   *http.Response
	header chan struct{} // closed when resp may be read
	reader *io.PipeReader
	writer *io.PipeWriter
	buf    *bufio.Writer
	cancel context.CancelFunc

	wrote bool  // of the handler's goroutine alone
	err   error // why there is no response, when header is closed without one
}

func newLocalWriter(req *http.Request, cancel context.CancelFunc) *localWriter {
	w := &localWriter{req: req, head: http.Header{}, header: make(chan struct{}), cancel: cancel}
	w.reader, w.writer = io.Pipe()
	w.buf = bufio.NewWriterSize(w.writer, 4<<10)
	return w
}

func (w *localWriter) serve(h http.Handler, in *http.Request) {
	ended := false
	defer func() {
		v := recover()
		_ = in.Body.Close()
		switch {
		case ended:
			w.WriteHeader(http.StatusOK)
			err := w.buf.Flush()
			w.trailers()
			_ = w.writer.CloseWithError(err)
		case v == nil: // runtime.Goexit
			w.fail(errors.New("transport: local handler ended without returning"))
		case isAbort(v):
			w.fail(io.ErrUnexpectedEOF)
		default:
			w.fail(fmt.Errorf("transport: local handler panicked: %v", v))
		}
	}()
	h.ServeHTTP(w, in)
	ended = true
}

// fail ends a response that did not come to its end: with an error of its body
// if the header is out, else of the round trip, as when a connection breaks.
func (w *localWriter) fail(err error) {
	if w.wrote {
		_ = w.writer.CloseWithError(err)
		return
	}
	w.wrote, w.err = true, err
	close(w.header)
}

func (w *localWriter) trailers() {
	for name, values := range w.head {
		if key, ok := cutTrailer(name); ok {
			w.resp.Trailer[key] = values
		} else if _, declared := w.resp.Trailer[name]; declared {
			w.resp.Trailer[name] = values
		}
	}
}

func cutTrailer(name string) (string, bool) {
	if len(name) > len(http.TrailerPrefix) && name[:len(http.TrailerPrefix)] == http.TrailerPrefix {
		return name[len(http.TrailerPrefix):], true
	}
	return "", false
}

func (w *localWriter) Header() http.Header { return w.head }

func (w *localWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		return // informational responses have nobody to inform here
	}
	if w.wrote {
		return
	}
	w.wrote = true
	h := w.head.Clone()
	length := int64(-1)
	if v := h.Get("Content-Length"); v != "" {
		if _, err := fmt.Sscan(v, &length); err != nil {
			length = -1
		}
	}
	w.resp = &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: length, Request: w.req, Trailer: http.Header{},
		Body: &localBody{w.reader, w.cancel},
	}
	for _, name := range h.Values("Trailer") {
		w.resp.Trailer[http.CanonicalHeaderKey(name)] = nil
	}
	close(w.header)
}

func (w *localWriter) Write(p []byte) (int, error) {
	if !w.wrote && w.head.Get("Content-Type") == "" && len(p) > 0 {
		w.head.Set("Content-Type", http.DetectContentType(p))
	}
	w.WriteHeader(http.StatusOK)
	if w.req.Method == http.MethodHead {
		return len(p), nil
	}
	return w.buf.Write(p)
}

// Flush makes what was written so far readable by the caller.
func (w *localWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *localWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	return w.buf.Flush()
}

// localBody ends the handler's context when the caller closes it.
type localBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *localBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
