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
)

// Bounds of [DecodeJSON].
const (
	// MaxJSONBytes is the most a JSON body may have; a smaller limit that the
	// server or a handler has set by http.MaxBytesReader holds too.
	MaxJSONBytes = 4 << 20
	// MaxJSONDepth is how deep arrays and objects may be nested.
	MaxJSONDepth = 64
)

// DecodeJSON reads the request's body into v, strictly: exactly one JSON value
// in UTF-8 without a byte order mark, with the right types, no member that v
// does not know, no member twice (in whatever case, at whatever depth, in maps
// and json.RawMessage too), no half of a surrogate pair, not deeper than
// [MaxJSONDepth], not larger than [MaxJSONBytes], with a JSON content type or
// none. A member that is null is as good as absent unless its field is a
// pointer, map, slice or interface; a body that is null is refused unless v
// points to one of those.
//
// If the body is refused, DecodeJSON has answered the request with a problem of
// that status and returns a [*BodyError]; the handler just returns. Its Detail
// names the member, never a type of the program. v then holds nothing of use.
func DecodeJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if err := decodeJSON(w, r, v); err != nil {
		return answerRefusal(w, r, err)
	}
	return nil
}

func decodeJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if err := checkJSONHeader(r.Header); err != nil {
		return err
	}
	data, err := readWhole(w, r, MaxJSONBytes)
	if err != nil {
		return err
	}
	return StrictJSON(data, v)
}

func checkJSONHeader(h http.Header) error {
	if encoded(h) {
		return &BodyError{http.StatusUnsupportedMediaType, "the body must not be compressed", nil}
	}
	ct := h.Get("Content-Type")
	if ct == "" || ct == "application/json" {
		return nil
	}
	media, params, err := mime.ParseMediaType(ct)
	if err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
		return &BodyError{http.StatusUnsupportedMediaType, "the body must be application/json", err}
	}
	return checkCharset(params)
}

func checkCharset(params map[string]string) error {
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
		return &BodyError{http.StatusUnsupportedMediaType, "the body must be in UTF-8", nil}
	}
	return nil
}

// jsonSpace is what may stand around a JSON value (RFC 8259, 2).
const jsonSpace = " \t\r\n"

// StrictJSON decodes data into v, a non-nil pointer, by the rules of
// [DecodeJSON]; the size is the caller's to bound. The error is a [*BodyError],
// unless it is v that cannot be decoded into.
func StrictJSON(data []byte, v any) error {
	if len(bytes.Trim(data, jsonSpace)) == 0 {
		return badRequest("the body is empty, want one JSON value", io.EOF)
	}
	if !utf8.Valid(data) {
		return badRequest("the body is not valid UTF-8", nil)
	}
	if err := checkJSONShape(data); err != nil {
		return badRequest(err.Error(), err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if invalid, ok := errors.AsType[*json.InvalidUnmarshalError](err); ok {
			return fmt.Errorf("transport: decode JSON: %w", invalid)
		}
		return badRequest(jsonDetail(err), err)
	}
	if rest := data[dec.InputOffset():]; len(bytes.Trim(rest, jsonSpace)) > 0 {
		return badRequest("the body goes on after its JSON value", nil)
	}
	if t := reflect.TypeOf(v).Elem(); !nullable(t) && string(bytes.Trim(data, jsonSpace)) == "null" {
		return badRequest("the body: got a JSON null, want "+kindName(t), nil)
	}
	return nil
}

// nullable reports whether null means something to a type.
func nullable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	}
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// What a detail takes over at most of a name or value that was sent, and of the
// text of an error.
const (
	maxEcho = 64
	maxText = 128
)

// jsonDetail says what is wrong without naming the program's types.
func jsonDetail(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the body ends in the middle of a JSON value"
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("the body is not JSON at byte %d: %s", e.Offset, strings.TrimPrefix(e.Error(), "json: "))
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		where := e.Field
		if where == "" {
			where = "the body"
		}
		return fmt.Sprintf("%s: got a JSON %s, want %s", where, clip(e.Value, maxEcho), kindName(e.Type))
	}
	text, own := strings.CutPrefix(err.Error(), "json: ")
	if name, ok := strings.CutPrefix(text, "unknown field "); own && ok {
		return "unknown member " + clip(name, maxEcho)
	}
	if own {
		return "a member has the wrong type" // and the text says which Go type is the right one
	}
	return "the body is not valid: " + clip(text, maxText) // a type's own UnmarshalJSON or UnmarshalText
}

// clip shortens s to about limit bytes, so that an answer does not give a long
// request back.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
