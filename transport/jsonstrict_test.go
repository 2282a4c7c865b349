package transport_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gabion-go/gabion/transport"
)

// FuzzStrictJSON compares with a second reading of the rules, made of
// encoding/json's tokens: slow, and written another way.
func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{
		`{"id":"a"}`, `{"a":1,"a":2}`, `[[[]]]`, `{"any":{"x":{}}}`, "", "\xff", `"\ud800"`, `1 2`, `{"id":null}`, `null`,
		`{"any":{"K":1,"k":2}}`, `{"raw":{"a":[1,{"b":"\ud83d\ude00"}]}}`, `{"any":{` + members(40) + `}}`,
		strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65), `{}]`, `{}"`, `{"`, "0\v", "\v", `"\\ud800"`, `"\u00zz"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []any{new(order), new(any), new(map[string]json.RawMessage), new([]string)} {
			err := transport.StrictJSON(data, v)
			want := slowStrictJSON(data, reflect.New(reflect.TypeOf(v).Elem()).Interface())
			if (err == nil) != (want == nil) {
				t.Fatalf("%q into %T: got %v, want %v", data, v, err, want)
			}
			if err == nil {
				continue
			}
			e, ok := errors.AsType[*transport.BodyError](err)
			if !ok || e.Status != 400 || e.Detail == "" || len(e.Detail) > 300 {
				t.Fatalf("error %v is not a short 400", err)
			}
		}
	})
}

// slowStrictJSON is StrictJSON by other means.
func slowStrictJSON(data []byte, v any) error {
	if !utf8.Valid(data) || !json.Valid(data) {
		return errors.New("not JSON")
	}
	if t := reflect.TypeOf(v).Elem(); t.Kind() == reflect.Struct && strings.Trim(string(data), " \t\r\n") == "null" {
		return errors.New("null")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if halfPair(data) {
		return errors.New("half a pair")
	}
	dec = json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := slowValue(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("goes on")
	}
	return nil
}

// slowValue reads one value at a depth.
func slowValue(dec *json.Decoder, depth int) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	if tok != json.Delim('[') && tok != json.Delim('{') {
		return nil
	}
	if depth == transport.MaxJSONDepth {
		return errors.New("too deep")
	}
	var names []string
	for dec.More() {
		if tok == json.Delim('{') {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			s := name.(string)
			if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, s) }) {
				return errors.New("twice")
			}
			names = append(names, s)
		}
		if err := slowValue(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

var (
	pairs   = regexp.MustCompile(`(?i)\\ud[89ab]..\\ud[cdef]..`)
	escapes = regexp.MustCompile(`\\(u....|.)`)
)

// halfPair reports whether valid JSON escapes a surrogate that is not part of a
// pair.
func halfPair(data []byte) bool {
	plain := strings.ReplaceAll(string(data), `\\`, "") // escaped backslashes escape nothing
	for _, e := range escapes.FindAllString(pairs.ReplaceAllString(plain, ""), -1) {
		if e[1] != 'u' {
			continue
		}
		if n, err := strconv.ParseUint(e[2:], 16, 16); err == nil && n >= 0xd800 && n < 0xe000 {
			return true
		}
	}
	return false
}

func BenchmarkStrictJSON(b *testing.B) {
	small := []byte(`{"id":"5f1c","count":2,"tags":["a","b"],"sub":{"id":"b","count":1},"any":{"x":1,"y":[1,2,3]}}`)
	large := []byte(`{"any":{` + members(2000) + `}}`)
	for name, data := range map[string][]byte{"small": small, "large": large} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				var v order
				if err := transport.StrictJSON(data, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/encodingjson", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				var v order
				if err := json.Unmarshal(data, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
