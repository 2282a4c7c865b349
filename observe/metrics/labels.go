package metrics

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// Label values that stand for many.
const (
	// Other stands for values that are not one of the known ones.
	Other = "_OTHER"
	// Overflow stands for names beyond the limit.
	Overflow = "_overflow"
	// Unknown stands for services that never resolved, and for no name.
	Unknown = "_unknown"
	// Unmatched stands for requests that no route matched.
	Unmatched = "_unmatched"
)

// maxLabel is the longest label value in bytes. Longer ones are not kept apart.
const maxLabel = 256

// vocabulary maps strings from outside to label values, of which it admits a
// bounded number, first come first served. Reading takes no lock.
type vocabulary struct {
	limit    int
	none     string // for the empty string
	overflow string // for what comes after limit others
	words    bool   // admits single words only

	mu    sync.Mutex
	known atomic.Pointer[map[string]string] // as given -> label; never changed in place
}

func newVocabulary(limit int, none, overflow string) *vocabulary {
	v := &vocabulary{limit: limit, none: none, overflow: overflow}
	v.known.Store(&map[string]string{})
	return v
}

// newWords returns a vocabulary of words such as timeout. Whatever else it is
// given, perhaps the text of an error with a password in it, becomes Other.
func newWords(limit int, none string) *vocabulary {
	v := newVocabulary(limit, none, Other)
	v.words = true
	return v
}

// label returns the label value for s.
func (v *vocabulary) label(s string) string {
	if s == "" {
		return v.none
	}
	if isReserved(s) {
		return s
	}
	known := *v.known.Load()
	if l, ok := known[s]; ok {
		return l
	}
	if len(known) >= v.limit || len(s) > maxLabel || v.words && !isWord(s) {
		return v.overflow
	}
	return v.admit(s)
}

func (v *vocabulary) admit(s string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := *v.known.Load()
	if l, ok := known[s]; ok {
		return l
	}
	if len(known) >= v.limit {
		return v.overflow
	}
	next := maps.Clone(known)
	s = strings.Clone(s) // s may be a small part of a large request
	next[s] = clean(s)
	v.known.Store(&next)
	return next[s]
}

// forget makes room by dropping everything that maps to label.
func (v *vocabulary) forget(label string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := maps.Clone(*v.known.Load())
	maps.DeleteFunc(next, func(_, l string) bool { return l == label })
	v.known.Store(&next)
}

// isReserved reports whether s is one of the values that stand for many, which
// need no place of their own.
func isReserved(s string) bool {
	return s[0] == '_' && (s == Other || s == Overflow || s == Unknown || s == Unmatched)
}

// isWord reports whether s can be a word, the name of a Go type included.
func isWord(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z' && r < 0x80
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("_-.*", r)
	}) < 0
}

// clean returns s as valid UTF-8.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// methodLabel returns m if it is a method of RFC 9110 or RFC 5789, and Other
// if not. Methods are case-sensitive.
func methodLabel(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE":
		return m
	case "":
		return "GET" // as net/http reads it
	}
	return Other
}

// criticalityLabel returns c if it is one of the four criticalities, the
// default if c is empty, and Other if not.
func criticalityLabel(c string) string {
	switch c {
	case "critical_plus", "critical", "sheddable_plus", "sheddable":
		return c
	case "":
		return "critical"
	}
	return Other
}

// statusCode folds what is no HTTP status into 0, which stands for none.
func statusCode(code int) int {
	if code < 100 || code > 599 {
		return 0
	}
	return code
}
