package transport

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

// A BodyError is a request whose body, or query, was refused. Status is what
// the client should be told: 4xx, or 503 for a body that came so slowly that
// the server has become busy meanwhile; the text is fit for the client.
type BodyError struct {
	Status int
	Detail string
	Err    error
}

// Error returns the detail.
func (e *BodyError) Error() string { return "transport: decode request: " + e.Detail }

// Unwrap returns the cause, which may be nil.
func (e *BodyError) Unwrap() error { return e.Err }

func badRequest(detail string, err error) error {
	return &BodyError{http.StatusBadRequest, detail, err}
}

// readWhole returns the request's body of at most bound bytes.
func readWhole(w http.ResponseWriter, r *http.Request, bound int64) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= bound {
		buf.Grow(int(n) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, bound))
	if err == nil {
		return buf.Bytes(), nil
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &BodyError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit), err}
	}
	if errors.Is(err, limit.ErrShed) {
		return nil, &BodyError{http.StatusServiceUnavailable, busyDetail, err}
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // where the next request begins is not known
	}
	return nil, badRequest("the body could not be read to its end", err)
}

// retryAfter returns how long the limiter that refused a body's request wants
// it to stay away.
func retryAfter(err error) time.Duration {
	if shed, ok := errors.AsType[*limit.ShedError](err); ok {
		return shed.RetryAfter
	}
	return 0
}

// answerRefusal tells the client why its request was refused, and returns err.
// An error of another kind is the program's own fault: the client learns no
// more than that.
func answerRefusal(w http.ResponseWriter, r *http.Request, err error) error {
	e, ok := errors.AsType[*BodyError](err)
	if !ok {
		WriteProblem(w, r, Problem{Status: http.StatusInternalServerError})
		return err
	}
	switch e.Status {
	case http.StatusServiceUnavailable:
		w.Header()["Retry-After"] = away(r, retryAfter(err))
	case http.StatusUnsupportedMediaType:
		if encoded(r.Header) {
			w.Header().Set("Accept-Encoding", "identity") // RFC 9110, 15.5.16
		}
	}
	WriteProblem(w, r, Problem{Status: e.Status, Detail: e.Detail})
	return err
}

// encoded reports whether a body is compressed or otherwise encoded.
func encoded(h http.Header) bool {
	for _, v := range h["Content-Encoding"] {
		if v != "" && !strings.EqualFold(v, "identity") {
			return true
		}
	}
	return false
}

// kindName names what a Go type looks like to those who send it.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number in range"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number in range, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number in range"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return kindName(t.Elem())
	default:
		return "another type"
	}
}
