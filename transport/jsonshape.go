package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// errHalfCharacter is a \u escape of one surrogate without the other, for
// which encoding/json puts U+FFFD.
var errHalfCharacter = errors.New("a string holds half of a surrogate pair")

// manyNames is how many names of an object are compared one by one.
const manyNames = 16

// jsonShape looks through a JSON text for what encoding/json lets pass. It
// keeps to what it must know for that, brackets, commas and strings: texts that
// are not JSON at all are left to the decoder, which comes after.
type jsonShape struct {
	text   []byte
	pos    int
	levels []jsonLevel
	names  [][]byte // of the objects that are open, folded, the outermost first
}

// jsonLevel is one open array or object.
type jsonLevel struct {
	object bool
	first  int // where its names begin
	many   map[string]struct{}
}

// checkJSONShape reports nesting deeper than MaxJSONDepth, members that stand
// twice in an object, and half surrogate pairs.
func checkJSONShape(text []byte) error {
	s := jsonShape{text: text, levels: make([]jsonLevel, 0, 8), names: make([][]byte, 0, 16)}
	name := false // the next string is a member's name
	for s.pos < len(text) {
		c := text[s.pos]
		s.pos++
		switch c {
		case '{', '[':
			if len(s.levels) == MaxJSONDepth {
				return fmt.Errorf("the body is nested deeper than %d levels", MaxJSONDepth)
			}
			name = c == '{'
			s.levels = append(s.levels, jsonLevel{object: name, first: len(s.names)})
		case '}', ']':
			last := len(s.levels) - 1
			if last < 0 {
				return nil
			}
			s.names, s.levels, name = s.names[:s.levels[last].first], s.levels[:last], false
		case ',':
			name = len(s.levels) > 0 && s.levels[len(s.levels)-1].object
		case '"':
			quoted, err := s.quoted()
			if err != nil {
				return err
			}
			if name {
				if err := s.name(quoted); err != nil {
					return err
				}
			}
			name = false
		}
	}
	return nil
}

// quoted goes to the end of the string that has begun and returns it in its
// quotes.
func (s *jsonShape) quoted() ([]byte, error) {
	start := s.pos - 1
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		s.pos++
		switch {
		case c == '"':
			return s.text[start:s.pos], nil
		case c == '\\' && s.pos < len(s.text):
			s.pos++ // whatever it is, it is no end
			if s.text[s.pos-1] == 'u' {
				if err := s.surrogates(); err != nil {
					return nil, err
				}
			}
		}
	}
	return s.text[start:], nil
}

// surrogates checks the digits of a \u escape and, if they are the first half
// of a pair, passes over the second.
func (s *jsonShape) surrogates() error {
	first, ok := s.hex4(s.pos)
	if !ok || !utf16.IsSurrogate(first) {
		return nil
	}
	next := s.pos + 4
	if !bytes.HasPrefix(s.text[next:], []byte(`\u`)) {
		return errHalfCharacter
	}
	second, ok := s.hex4(next + 2)
	if !ok || utf16.DecodeRune(first, second) == unicode.ReplacementChar {
		return errHalfCharacter
	}
	s.pos = next + 6
	return nil
}

func (s *jsonShape) hex4(at int) (rune, bool) {
	if len(s.text) < at+4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s.text[at:at+4]), 16, 16)
	return rune(n), err == nil
}

// name notes a member's name and reports whether its object has it already.
func (s *jsonShape) name(quoted []byte) error {
	name := fold(unquote(quoted))
	level := &s.levels[len(s.levels)-1]
	known := s.names[level.first:]
	var twice bool
	if level.many != nil {
		_, twice = level.many[string(name)]
	} else {
		twice = slices.ContainsFunc(known, func(k []byte) bool { return bytes.Equal(k, name) })
	}
	if twice {
		return fmt.Errorf("member %.*q stands twice", maxEcho, unquote(quoted))
	}
	if len(known) == manyNames {
		level.many = make(map[string]struct{}, 4*manyNames)
		for _, k := range known {
			level.many[string(k)] = struct{}{}
		}
	}
	if level.many != nil {
		level.many[string(name)] = struct{}{}
	}
	s.names = append(s.names, name)
	return nil
}

// unquote returns what a JSON string says, and whatever it likes for one that
// is none.
func unquote(quoted []byte) []byte {
	if len(quoted) >= 2 && bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // the decoder will tell
	return []byte(s)
}

// fold makes names equal that encoding/json takes for the same field: those
// that differ in simple case folding alone, such as "ID" and "id", or "ids" and
// "idſ" with a long s.
func fold(name []byte) []byte {
	folded := func(c byte) bool { return c < utf8.RuneSelf && (c < 'A' || c > 'Z') }
	for _, c := range name {
		if !folded(c) {
			return bytes.Map(foldRune, name)
		}
	}
	return name
}

// foldRune returns the lower-case letter for what folds to an ASCII letter, and
// the least rune of those that fold to one another for the rest.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}
