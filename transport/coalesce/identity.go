package coalesce

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ignored are the header fields that do not change an answer.
var ignored = map[string]bool{
	"Traceparent": true, "Tracestate": true, // W3C
	"B3": true, "X-B3-Traceid": true, "X-B3-Spanid": true, "X-B3-Parentspanid": true,
	"X-B3-Sampled": true, "X-B3-Flags": true, "X-Amzn-Trace-Id": true,
	"X-Request-Id": true, "X-Correlation-Id": true,
	"X-Envoy-Expected-Rq-Timeout-Ms": true, "X-Envoy-Attempt-Count": true,
	"Connect-Timeout-Ms": true, "Grpc-Timeout": true,
}

// Ignored returns the header fields, in canonical form and sorted, that are no
// part of a request's identity: those of tracing (W3C, B3, X-Ray), request ids
// and what is left of deadlines.
func Ignored() []string { return slices.Sorted(maps.Keys(ignored)) }

// identity returns what has to be equal for two requests to be the same. No
// field can run into the next: each is written with its length.
func (t *Transport) identity(req *http.Request) string {
	var b strings.Builder
	b.Grow(256)
	field(&b, req.Method)
	field(&b, req.URL.String())
	field(&b, req.Host)
	if t.settings.Identity != nil {
		field(&b, t.settings.Identity(req))
	}
	var space [16]string
	names := space[:0]
	for name := range req.Header {
		if !t.ignores(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		field(&b, name)
		b.WriteString(strconv.Itoa(len(req.Header[name])))
		for _, v := range req.Header[name] {
			field(&b, v)
		}
	}
	return b.String()
}

func field(b *strings.Builder, s string) {
	b.WriteByte(' ')
	b.WriteString(strconv.Itoa(len(s)))
	b.WriteByte(' ')
	b.WriteString(s)
}

// ignores reports whether the header field is no part of the identity. A name
// that is not in canonical form is.
func (t *Transport) ignores(name string) bool {
	return ignored[name] || t.ignored[name]
}

// candidate reports whether req is one that can share a call at all.
func candidate(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead:
	default:
		return false
	}
	return (req.Body == nil || req.Body == http.NoBody) && req.URL != nil && req.Header["Upgrade"] == nil
}

// shareable reports whether others than the first caller may have resp, as far
// as its header tells.
func (t *Transport) shareable(req *http.Request, resp *http.Response) bool {
	h := resp.Header
	if resp.StatusCode < 200 || h["Set-Cookie"] != nil || resp.ContentLength > t.settings.MaxBytes && req.Method != http.MethodHead {
		return false
	}
	known := req.Header["Authorization"] != nil || req.Header["Cookie"] != nil
	for d := range elements(h["Cache-Control"]) {
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
	for name := range elements(h["Vary"]) {
		if name == "*" || t.ignores(http.CanonicalHeaderKey(name)) {
			return false
		}
	}
	return !streams(h.Get("Content-Type"))
}

// elements yields the members of a header field that is a list.
func elements(values []string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range values {
			for e := range strings.SplitSeq(v, ",") {
				if e = strings.TrimSpace(e); e != "" && !yield(e) {
					return
				}
			}
		}
	}
}

// streams reports whether a body of this type is made to be read while it comes.
func streams(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
	case "text/event-stream", "multipart/x-mixed-replace",
		"application/x-ndjson", "application/jsonl", "application/json-seq":
		return true
	}
	return strings.HasPrefix(kind, "application/grpc") || strings.HasPrefix(kind, "application/connect+")
}
