package compress

import (
	"net/http"
	"strings"

	"github.com/gabion-go/gabion/transport"
)

// acceptEncoding is what [Requests] takes.
const acceptEncoding = "gzip, deflate"

// Requests returns a handler that serves next with the bodies of requests
// decompressed: gzip, and deflate in zlib's format. No body may be larger than
// maxBytes, neither as it was sent nor as it then is; zero or less stands for
// [MaxBytes]. Reading on ends in an [*http.MaxBytesError], for which
// transport.DecodeJSON answers 413. Memory does not depend on what was sent.
//
// What is compressed in another way, or more than once, is answered by 415 and
// what is accepted. Bodies that are not compressed pass through without that
// bound.
func Requests(next http.Handler, maxBytes int64) http.Handler {
	maxBytes = orMaxBytes(maxBytes)
	pools := newInflaters()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		codings := contentCodings(r.Header)
		if len(codings) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		pool := pools.pool(codings[0])
		if pool == nil || len(codings) > 1 {
			w.Header().Set("Accept-Encoding", acceptEncoding)
			transport.WriteProblem(w, r, transport.Problem{Status: http.StatusUnsupportedMediaType, Detail: "the body must be compressed by gzip, by deflate or not at all, and once"})
			return
		}
		in := plain(r)
		if r.Body == nil || r.Body == http.NoBody {
			serve(next, w, in, r)
			return
		}
		b := &body{
			source: http.MaxBytesReader(w, r.Body, maxBytes), from: pools, pool: pool,
			left: maxBytes, tooLarge: &http.MaxBytesError{Limit: maxBytes},
		}
		defer b.end()
		in.Body, in.ContentLength = b, -1
		serve(next, w, in, r)
	})
}

// contentCodings returns what a body was encoded with, in order.
func contentCodings(h http.Header) []string {
	var codings []string
	for _, line := range h["Content-Encoding"] {
		for c := range strings.SplitSeq(line, ",") {
			if c = strings.TrimSpace(c); c != "" && !strings.EqualFold(c, "identity") {
				codings = append(codings, c)
			}
		}
	}
	return codings
}

// plain returns a copy of r whose header says nothing of the encoding.
func plain(r *http.Request) *http.Request {
	in := new(http.Request)
	*in = *r
	in.Header = r.Header.Clone()
	in.Header.Del("Content-Encoding")
	in.Header.Del("Content-Length")
	return in
}

// serve serves in, a copy of r. Whoever made r looks at it for the route, and for
// files to delete.
func serve(next http.Handler, w http.ResponseWriter, in, r *http.Request) {
	defer func() { r.Pattern, r.MultipartForm = in.Pattern, in.MultipartForm }()
	next.ServeHTTP(w, in)
}
