// Package identity tells which HTTP requests are the same, and which responses
// may then be given to more than the one who asked.
package identity

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-go/gabion/internal/httpmsg"
)

// incidental are the header fields that do not change an answer.
var incidental = map[string]bool{
	"Traceparent": true, "Tracestate": true, // W3C
	"B3": true, "X-B3-Traceid": true, "X-B3-Spanid": true, "X-B3-Parentspanid": true,
	"X-B3-Sampled": true, "X-B3-Flags": true, "X-Amzn-Trace-Id": true,
	"X-Request-Id": true, "X-Correlation-Id": true,
	"X-Envoy-Expected-Rq-Timeout-Ms": true, "X-Envoy-Attempt-Count": true,
	"Connect-Timeout-Ms": true, "Grpc-Timeout": true,
}

// Incidental reports whether a header field, its name in canonical form, does
// not change an answer: those of tracing, request ids and deadlines.
func Incidental(name string) bool { return incidental[name] }

// Incidentals returns the names for which [Incidental] is true, sorted.
func Incidentals() []string { return slices.Sorted(maps.Keys(incidental)) }

// Of returns what has to be equal for two requests to be the same: method, URL,
// Host, extra, and every header field but those that are left out. No part can
// run into the next: each is written with its length.
func Of(req *http.Request, extra string, leftOut func(name string) bool) string {
	var b strings.Builder
	b.Grow(256)
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	part(&b, method)
	part(&b, req.URL.String())
	part(&b, req.Host)
	part(&b, extra)
	var space [16]string
	names := space[:0]
	for name := range req.Header {
		if !leftOut(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		part(&b, name)
		b.WriteString(strconv.Itoa(len(req.Header[name])))
		for _, v := range req.Header[name] {
			part(&b, v)
		}
	}
	return b.String()
}

func part(b *strings.Builder, s string) {
	b.WriteByte(' ')
	b.WriteString(strconv.Itoa(len(s)))
	b.WriteByte(' ')
	b.WriteString(s)
}

// Shareable reports whether a response with header resp to a request with header
// req may be given to others who ask the same, as [Of] has it: if it sets no
// cookie, which must not become that of several sessions; if it is not
// Cache-Control: no-store, nor private to a request with neither Authorization
// nor Cookie, which may thus be told apart by other means; and if it does not
// vary by what was left out.
func Shareable(req, resp http.Header, leftOut func(name string) bool) bool {
	if resp["Set-Cookie"] != nil {
		return false
	}
	known := req["Authorization"] != nil || req["Cookie"] != nil
	for d := range httpmsg.Elements(resp["Cache-Control"]) {
		name, _, _ := strings.Cut(d, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "no-store":
			return false
		case "private":
			if !known {
				return false
			}
		}
	}
	for name := range httpmsg.Elements(resp["Vary"]) {
		if name == "*" || leftOut(http.CanonicalHeaderKey(name)) {
			return false
		}
	}
	return true
}
