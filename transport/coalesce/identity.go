package coalesce

import (
	"net/http"
	"strings"

	"github.com/gabion-go/gabion/internal/identity"
)

// Ignored returns the header fields, in canonical form and sorted, that are no
// part of a request's identity: those of tracing (W3C, B3, X-Ray), request ids
// and what is left of deadlines.
func Ignored() []string { return identity.Incidentals() }

// identity returns what has to be equal for two requests to be the same.
func (t *Transport) identity(req *http.Request) string {
	extra := ""
	if t.settings.Identity != nil {
		extra = t.settings.Identity(req)
	}
	return identity.Of(req, extra, t.ignores)
}

// ignores reports whether the header field is no part of the identity. A name
// that is not in canonical form is.
func (t *Transport) ignores(name string) bool {
	return identity.Incidental(name) || t.ignored[name]
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
	tooLarge := resp.ContentLength > t.settings.MaxBytes && req.Method != http.MethodHead
	return resp.StatusCode >= 200 && !tooLarge && !streams(resp.Header.Get("Content-Type")) &&
		identity.Shareable(req.Header, resp.Header, t.ignores)
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
