package transport

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of [DecodeForm] and [DecodeQuery].
const (
	// MaxFormBytes is the most a form may have; a smaller limit that the server
	// or a handler has set by http.MaxBytesReader holds too. Queries are
	// bounded with the request's header.
	MaxFormBytes = 4 << 20
	// MaxParameters is how many parameters there may be.
	MaxParameters = 1000
)

// DecodeForm reads an application/x-www-form-urlencoded body into the struct
// that v points to, strictly. Parameters go to the fields with their name in
// the tag `form:"name"`, those of embedded structs too; fields without a tag
// cannot be set from outside. Fields are strings, booleans and numbers, in the
// syntax of strconv; time.Duration; types with an UnmarshalText method; pointers
// to any of these, nil if there is no such parameter; and slices of them, which
// take a parameter as often as it stands, in order. Names are plain: brackets
// and dots in them mean nothing.
//
// Refused are a parameter that v does not know, one that stands twice for a
// field that is no slice, more than [MaxParameters], a value of the wrong type
// or out of range, ";" as a separator, bad % escapes, and what is not UTF-8.
// DecodeForm has then answered the request with a problem and returns a
// [*BodyError]; the handler just returns. v is changed only if all is well;
// fields without a parameter keep what they hold.
//
// The URL's query is not part of the form: see [DecodeQuery].
func DecodeForm(w http.ResponseWriter, r *http.Request, v any) error {
	if err := decodeForm(w, r, v); err != nil {
		return answerRefusal(w, r, err)
	}
	return nil
}

// DecodeQuery reads the query of the request's URL into the struct that v
// points to, by the rules of [DecodeForm].
func DecodeQuery(w http.ResponseWriter, r *http.Request, v any) error {
	if err := decodeParameters(r.URL.RawQuery, v); err != nil {
		return answerRefusal(w, r, err)
	}
	return nil
}

func decodeForm(w http.ResponseWriter, r *http.Request, v any) error {
	if encoded(r.Header) {
		return &BodyError{http.StatusUnsupportedMediaType, "the body must not be compressed", nil}
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return &BodyError{http.StatusUnsupportedMediaType, "the body must be application/x-www-form-urlencoded", err}
	}
	if err := checkCharset(params); err != nil {
		return err
	}
	data, err := readWhole(w, r, MaxFormBytes)
	if err != nil {
		return err
	}
	return decodeParameters(string(data), v)
}

// decodeParameters is DecodeQuery for a query that stands alone.
func decodeParameters(query string, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("transport: decode parameters: want a pointer to a struct, got %T", v)
	}
	fields, err := formFields(target.Elem().Type())
	if err != nil {
		return err
	}
	values, err := parseParameters(query)
	if err != nil {
		return err
	}
	whole := reflect.New(target.Elem().Type()).Elem()
	whole.Set(target.Elem())
	for _, name := range slices.Sorted(maps.Keys(values)) {
		index, known := fields[name]
		if !known {
			return badRequest(fmt.Sprintf("unknown parameter %.*q", maxEcho, name), nil)
		}
		if err := setField(whole.FieldByIndex(index), name, values[name]); err != nil {
			return err
		}
	}
	target.Elem().Set(whole)
	return nil
}

func parseParameters(query string) (url.Values, error) {
	if strings.Count(query, "&") >= MaxParameters {
		return nil, badRequest(fmt.Sprintf("more than %d parameters", MaxParameters), nil)
	}
	if strings.Contains(query, ";") {
		return nil, badRequest(`parameters are separated by "&", not ";"`, nil)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, badRequest("the parameters hold a bad % escape", err)
	}
	for name, all := range values {
		if !utf8.ValidString(name) || slices.ContainsFunc(all, func(s string) bool { return !utf8.ValidString(s) }) {
			return nil, badRequest("the parameters are not valid UTF-8", nil)
		}
	}
	return values, nil
}

// formFields returns where the parameters of a struct go.
func formFields(t reflect.Type) (map[string][]int, error) {
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name := f.Tag.Get("form")
		if name == "" || name == "-" {
			continue
		}
		var why string
		switch _, twice := fields[name]; {
		case twice:
			why = "has a parameter that another field has too"
		case !f.IsExported():
			why = "is not exported"
		case behindPointer(t, f.Index):
			why = "is in an embedded pointer"
		case !parsable(f.Type) && (f.Type.Kind() != reflect.Slice || !parsable(f.Type.Elem())):
			why = "has a type that no parameter can have"
		}
		if why != "" {
			return nil, fmt.Errorf("transport: decode parameters: field %s of %s %s", f.Name, t, why)
		}
		fields[name] = f.Index
	}
	return fields, nil
}

// behindPointer reports whether the way to a field goes through a pointer.
func behindPointer(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		if t = t.Field(i).Type; t.Kind() == reflect.Pointer {
			return true
		}
	}
	return false
}

// parsable reports whether one value can be of type t.
func parsable(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	switch k := t.Kind(); k {
	case reflect.Pointer:
		return t.Elem().Kind() != reflect.Pointer && parsable(t.Elem())
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64:
		return true
	default:
		return reflect.Int <= k && k <= reflect.Uint64
	}
}

// setField gives a field its values.
func setField(f reflect.Value, name string, values []string) error {
	if parsable(f.Type()) {
		if len(values) > 1 {
			return badRequest(fmt.Sprintf("parameter %q stands twice", name), nil)
		}
		return setValue(f, name, values[0])
	}
	all := reflect.MakeSlice(f.Type(), len(values), len(values))
	for i, s := range values {
		if err := setValue(all.Index(i), name, s); err != nil {
			return err
		}
	}
	f.Set(all)
	return nil
}

// setValue parses one value. What was sent is not repeated in the error.
func setValue(v reflect.Value, name, s string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := t.UnmarshalText([]byte(s)); err != nil {
			return badRequest(name+": not valid: "+clip(err.Error(), maxText), err)
		}
		return nil
	}
	if d, ok := v.Addr().Interface().(*time.Duration); ok {
		parsed, err := time.ParseDuration(s)
		if err != nil {
			return badRequest(name+": want a duration such as 250ms", err)
		}
		*d = parsed
		return nil
	}
	if err := setScalar(v, s); err != nil {
		return badRequest(name+": want "+kindName(v.Type()), err)
	}
	return nil
}

var errNotFinite = errors.New("not a finite number")

func setScalar(v reflect.Value, s string) (err error) {
	switch k := v.Kind(); {
	case k == reflect.String:
		v.SetString(s)
	case k == reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(s)
		v.SetBool(b)
	case v.CanInt():
		var n int64
		n, err = strconv.ParseInt(s, 10, v.Type().Bits())
		v.SetInt(n)
	case v.CanUint():
		var n uint64
		n, err = strconv.ParseUint(s, 10, v.Type().Bits())
		v.SetUint(n)
	default:
		var x float64
		x, err = strconv.ParseFloat(s, v.Type().Bits())
		if err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
			err = errNotFinite
		}
		v.SetFloat(x)
	}
	return err
}
