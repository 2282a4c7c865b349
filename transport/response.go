package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// responseWriter adds to a response what the server has to say and counts what
// goes by. All optional interfaces of the writer below work through it.
type responseWriter struct {
	http.ResponseWriter
	exchange  *exchange
	status    int
	bytes     int64
	streaming bool // flushed or taken over: its duration says nothing of load
	aborted   bool
	letsGo    func() bool // ends the watch over a connection that was taken over
}

// Unwrap serves http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *responseWriter) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if w.status == 0 {
		w.status = status
		w.mark()
	}
	w.ResponseWriter.WriteHeader(status)
}

// mark sets the headers that every response of the server carries.
func (w *responseWriter) mark() {
	x, h := w.exchange, w.Header()
	if w.status >= 500 && x.state.noRetry.Load() {
		h.Set(HeaderNoRetry, "1")
	}
	if x.state.server.drainCtx.Err() != nil || chunked(x.info.Request) {
		h.Set("Connection", "close")
	}
	if x.info.Header[HeaderAttempt] != nil {
		h[HeaderLoad] = x.state.server.load.header(x.state.server.limiter.InFlight())
	}
}

// chunked reports whether a request's body came in chunks over HTTP/1. If it
// announced a Content-Length too, net/http has dropped that without a trace, and
// what follows on the connection may be what somebody in between took for the
// body's rest: RFC 9112, 6.1, wants the connection closed.
func chunked(r *http.Request) bool { return r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 }

// openEnded reports whether a part of the body is out and nothing but its end
// will say where it ends. net/http holds back the first 2 KiB, and counts a
// body that is over by then.
func (w *responseWriter) openEnded() bool {
	return (w.streaming || w.bytes > 2<<10) && w.Header().Get("Content-Length") == ""
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets the writer below copy files without a detour through memory.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	var begun int64
	if w.status == 0 {
		// r may be the request's body, which a client that expects a 100 does
		// not send once the header is out: so the first part is read before.
		var err error
		if begun, err = io.CopyN(struct{ io.Writer }{w}, r, sniffBytes); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return begun, err
		}
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return begun + n, err
}

// sniffBytes is how much net/http looks at to guess a content type.
const sniffBytes = 512

func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *responseWriter) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.stream()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack gives the connection to the handler, where the protocol has one to
// give.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.stream()
		w.status = http.StatusSwitchingProtocols
		// net/http forgets the connection now: one whose handler does not end
		// in time would outlive the server.
		w.letsGo = context.AfterFunc(w.exchange.state.server.stopCtx, func() {
			time.AfterFunc(lastMoment, func() { _ = conn.Close() })
		})
	}
	return conn, rw, err
}

// letGo ends the watch over a connection whose handler has returned.
func (w *responseWriter) letGo() {
	if w.letsGo != nil {
		w.letsGo()
	}
}

// stream notes that the response is not over when the work is: its place among
// the limited ones goes to somebody else.
func (w *responseWriter) stream() {
	if w.streaming {
		return
	}
	w.streaming = true
	w.exchange.state.place.streams()
}

// Stream returns a handler for routes that stream: the server's read and write
// timeouts and its bound on the body do not apply to h. In their place every
// write and flush must be done within perWrite, so that a client that stops
// reading does not hold the handler for ever; zero means 30 s. The deadline
// that a caller sent still holds. End the stream when [Draining] says so.
func Stream(h http.Handler, perWrite time.Duration) http.Handler {
	if perWrite <= 0 {
		perWrite = 30 * time.Second
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctl := http.NewResponseController(w)
		// Writers that know no deadlines have none to lift.
		_ = ctl.SetReadDeadline(time.Time{})
		_ = ctl.SetWriteDeadline(time.Time{})
		if s := requestStateOf(r.Context()); s != nil && s.body != nil {
			r.Body = s.body
		}
		h.ServeHTTP(&streamWriter{ResponseWriter: w, ctl: ctl, perWrite: perWrite}, r)
		_ = ctl.SetWriteDeadline(time.Now().Add(perWrite)) // for what is still in the buffer
	})
}

// streamWriter sets a new deadline for every write.
type streamWriter struct {
	http.ResponseWriter
	ctl      *http.ResponseController
	perWrite time.Duration
}

func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack gives the connection to the handler, as from the writer below.
func (w *streamWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.ctl.Hijack() }

func (w *streamWriter) Write(p []byte) (int, error) {
	defer w.limit()()
	return w.ResponseWriter.Write(p)
}

func (w *streamWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *streamWriter) FlushError() error {
	defer w.limit()()
	return w.ctl.Flush()
}

// limit sets the deadline for one write and returns what lifts it: while the
// handler is busy elsewhere the response must not run out of time.
func (w *streamWriter) limit() (lift func()) {
	_ = w.ctl.SetWriteDeadline(time.Now().Add(w.perWrite))
	return func() { _ = w.ctl.SetWriteDeadline(time.Time{}) }
}
