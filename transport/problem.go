package transport

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"net/http"
)

// A Problem is an error as it is told to the outside: RFC 9457 problem
// details. It must hold nothing that a stranger should not read.
type Problem struct {
	// Type identifies the kind of problem by a URI reference; empty means
	// "about:blank", that is, nothing beyond the status.
	Type string
	// Title names the kind for people. Empty means the text of the status.
	Title string
	// Status is the HTTP status, 500 when zero.
	Status int
	// Detail explains this one occurrence to the caller.
	Detail string
	// Extra are members beyond the standard ones, which they cannot replace.
	Extra map[string]any
}

// MarshalJSON writes the standard members and, beside them, the extra ones.
func (p Problem) MarshalJSON() ([]byte, error) {
	m := make(map[string]any, 4+len(p.Extra))
	maps.Copy(m, p.Extra)
	m["status"] = p.status()
	m["title"] = p.title()
	delete(m, "type")
	delete(m, "detail")
	if p.Type != "" {
		m["type"] = p.Type
	}
	if p.Detail != "" {
		m["detail"] = p.Detail
	}
	return json.Marshal(m)
}

// UnmarshalJSON reads a problem that somebody else wrote. Standard members of
// the wrong type are ignored, as RFC 9457 asks, and so is a status that is none
// from 100 to 599: to answer with it would be a panic.
func (p *Problem) UnmarshalJSON(data []byte) error {
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	*p = Problem{}
	p.Type, _ = m["type"].(string)
	p.Title, _ = m["title"].(string)
	p.Detail, _ = m["detail"].(string)
	if n, ok := m["status"].(float64); ok && n >= 100 && n <= 599 && n == math.Trunc(n) {
		p.Status = int(n)
	}
	for _, name := range []string{"type", "title", "detail", "status"} {
		delete(m, name)
	}
	if len(m) > 0 {
		p.Extra = m
	}
	return nil
}

func (p Problem) status() int {
	if p.Status == 0 {
		return http.StatusInternalServerError
	}
	return p.Status
}

func (p Problem) title() string {
	if p.Title == "" {
		return http.StatusText(p.status())
	}
	return p.Title
}

// WriteProblem answers a request with p as application/problem+json. Headers
// that describe a body that will not be sent (length, encoding, caching) are
// removed first.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	dropBodyHeaders(w.Header())
	sendProblem(w, r, p.status(), p.text())
}

// dropBodyHeaders removes what describes a body that will not be sent.
func dropBodyHeaders(h http.Header) {
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Cache-Control"} {
		delete(h, name)
	}
}

// text returns p as JSON.
func (p Problem) text() []byte {
	body, err := json.Marshal(p)
	if err != nil { // an Extra that JSON cannot hold
		p.Extra = nil
		body, _ = json.Marshal(p)
	}
	return append(body, '\n')
}

// Values of headers, shared by all responses.
var (
	problemJSON = []string{"application/problem+json"}
	noSniff     = []string{"nosniff"}
)

// sendProblem answers with the text of a problem.
func sendProblem(w http.ResponseWriter, r *http.Request, status int, text []byte) {
	h := w.Header()
	h["Content-Type"] = problemJSON
	h["X-Content-Type-Options"] = noSniff
	w.WriteHeader(status)
	if r == nil || r.Method != http.MethodHead {
		_, _ = w.Write(text) // the client is gone: nobody is left to tell
	}
}

// WriteJSON answers a request with v as application/json. If v cannot be
// encoded the answer is a 500 problem and the error is returned; an error of
// writing is returned too.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	if err := enc.Encode(v); err != nil {
		WriteProblem(w, nil, Problem{Status: http.StatusInternalServerError})
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err := w.Write(buf.Bytes())
	return err
}
