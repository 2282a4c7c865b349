package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/gabion-go/gabion/transport/limit"
)

// Bounds of [DecodeJSON].
const (
	// MaxJSONBytes is the most a JSON body may have; a smaller limit that the
	// server or a handler has set by http.MaxBytesReader holds too.
	MaxJSONBytes = 4 << 20
	// MaxJSONDepth is how deep arrays and objects may be nested.
	MaxJSONDepth = 64
)

// A BodyError is a request body that was refused. Status is what the client
// should be told: 4xx, or 503 for a body that came so slowly that the server has
// become busy meanwhile; the text is fit for the client.
type BodyError struct {
	Status int
	Detail string
	Err    error
}

// Error returns the detail.
func (e *BodyError) Error() string { return "transport: decode JSON: " + e.Detail }

// Unwrap returns the cause, which may be nil.
func (e *BodyError) Unwrap() error { return e.Err }

// DecodeJSON reads the request's body into v, strictly: exactly one JSON value
// in UTF-8, with the right types, no member that v does not know, no member
// twice (in whatever case), not deeper than [MaxJSONDepth], not larger than [MaxJSONBytes], with
// a JSON content type or none. If the body is refused, DecodeJSON has answered
// the request with that status and returns a [*BodyError]; the handler just
// returns.
func DecodeJSON(w http.ResponseWriter, r *http.Request, v any) error {
	err := decodeJSON(w, r, v)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*BodyError](err); ok {
		if e.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		WriteProblem(w, r, Problem{Status: e.Status, Detail: e.Detail})
	}
	return err
}

func decodeJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if err := checkJSONHeader(r.Header); err != nil {
		return err
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxJSONBytes))
	if err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return &BodyError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit), err}
		}
		if errors.Is(err, limit.ErrShed) {
			return &BodyError{http.StatusServiceUnavailable, busyDetail, err}
		}
		return &BodyError{http.StatusBadRequest, "the body could not be read to its end", err}
	}
	return StrictJSON(data, v)
}

func checkJSONHeader(h http.Header) error {
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return &BodyError{http.StatusUnsupportedMediaType, "the body must not be compressed", nil}
	}
	ct := h.Get("Content-Type")
	if ct == "" {
		return nil
	}
	media, params, err := mime.ParseMediaType(ct)
	if err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
		return &BodyError{http.StatusUnsupportedMediaType, "the body must be application/json", err}
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
		return &BodyError{http.StatusUnsupportedMediaType, "the body must be in UTF-8", nil}
	}
	return nil
}

// StrictJSON decodes data into v by the rules of [DecodeJSON]. The error is a
// [*BodyError].
func StrictJSON(data []byte, v any) error {
	bad := func(detail string, err error) error {
		return &BodyError{http.StatusBadRequest, detail, err}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return bad("the body is empty, want one JSON value", io.EOF)
	}
	if !utf8.Valid(data) {
		return bad("the body is not valid UTF-8", nil)
	}
	if err := checkJSONShape(data); err != nil {
		return bad(err.Error(), err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return bad(jsonDetail(err), err)
	}
	return nil
}

// jsonDetail says what is wrong without naming the program's types.
func jsonDetail(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		where := e.Field
		if where == "" {
			where = "the body"
		}
		return fmt.Sprintf("%s: got a JSON %s, want %s", where, e.Value, jsonKind(e.Type))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "unknown member " + name
	}
	return "the body is not valid: " + strings.TrimPrefix(err.Error(), "json: ")
}

// jsonKind names what a Go type looks like in JSON.
func jsonKind(t reflect.Type) string {
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
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return "another type"
	}
}

// jsonLevel is one open array or object while the shape is checked.
type jsonLevel struct {
	object bool
	isKey  bool // the next string is a member's name
	seen   map[string]struct{}
}

// checkJSONShape reports anything but a single value, nesting deeper than
// MaxJSONDepth, and members that stand twice. encoding/json lets all of them
// pass or, for the second of two members, win.
func checkJSONShape(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var stack []jsonLevel
	for {
		tok, err := dec.Token()
		if err != nil {
			return jsonSyntax(err)
		}
		switch t := tok.(type) {
		case json.Delim:
			if t == '}' || t == ']' {
				stack = stack[:len(stack)-1]
				break
			}
			markValue(stack)
			if len(stack) == MaxJSONDepth {
				return fmt.Errorf("the body is nested deeper than %d levels", MaxJSONDepth)
			}
			stack = append(stack, jsonLevel{object: t == '{', isKey: true})
			continue
		case string:
			if top := len(stack) - 1; top >= 0 && stack[top].object && stack[top].isKey {
				if err := stack[top].name(t); err != nil {
					return err
				}
				continue
			}
			markValue(stack)
		default:
			markValue(stack)
		}
		if len(stack) == 0 {
			break
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body goes on after its JSON value")
	}
	return nil
}

// markValue notes that a value has been read in the innermost level, so that
// an object expects a name next.
func markValue(stack []jsonLevel) {
	if n := len(stack); n > 0 {
		stack[n-1].isKey = true
	}
}

func (l *jsonLevel) name(s string) error {
	if l.seen == nil {
		l.seen = make(map[string]struct{}, 8)
	}
	folded := strings.ToLower(s) // encoding/json takes "ID" for a field named "id"
	if _, dup := l.seen[folded]; dup {
		return fmt.Errorf("member %.64q stands twice", s)
	}
	l.seen[folded] = struct{}{}
	l.isKey = false
	return nil
}

func jsonSyntax(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the body ends in the middle of a JSON value")
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("the body is not JSON at byte %d: %s", e.Offset, strings.TrimPrefix(e.Error(), "json: "))
	}
	return errors.New("the body is not JSON")
}
