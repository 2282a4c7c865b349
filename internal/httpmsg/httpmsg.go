// Package httpmsg makes and reads parts of HTTP messages as more than one
// package needs them.
package httpmsg

import (
	"bytes"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
)

// Elements yields the members of a header field that is a list of tokens,
// without the space around them and without empty ones. Commas in quoted strings
// separate too.
func Elements(values []string) iter.Seq[string] {
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

// Response returns the answer to req of a body that is known. It keeps h and
// body; an answer to HEAD has the length of the body but not the body itself.
func Response(req *http.Request, status int, h http.Header, body []byte) *http.Response {
	resp := &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: http.NoBody, ContentLength: int64(len(body)), Request: req,
	}
	if len(body) > 0 && req.Method != http.MethodHead {
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	return resp
}
