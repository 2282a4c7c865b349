package retry

import (
	"net/http"
	"strings"
)

// IdempotencyKey is the header by which a caller declares that the server
// recognises a request it has seen before.
const IdempotencyKey = "Idempotency-Key"

// Idempotent reports whether a request may reach a server more than once: its
// method is idempotent by RFC 9110 section 9.2.2 (an empty method is GET), or h
// holds a non-empty Idempotency-Key. Methods are case-sensitive; an unknown one
// is not idempotent.
func Idempotent(method string, h http.Header) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace,
		http.MethodPut, http.MethodDelete:
		return true
	}
	return strings.TrimSpace(h.Get(IdempotencyKey)) != ""
}
