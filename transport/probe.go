package transport

import "net/http"

// A probe asks a server for its load report and nothing else: OPTIONS * (RFC
// 9110, 9.3.7), which any server answers at once.

// isProbe reports whether r asks nothing of any resource. net/http answers it
// by itself unless told not to, as NewServer does, and then without a report.
func isProbe(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.RequestURI == "*"
}

// answerProbe says how loaded the server is. It takes no place and is not
// counted as a request.
func (s *Server) answerProbe(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	unread := r.ContentLength != 0 // nobody reads what else was sent
	if unread || s.drainCtx.Err() != nil {
		h.Set("Connection", "close")
	}
	if r.Header[HeaderAttempt] != nil {
		h[HeaderLoad] = s.load.header(s.limiter.InFlight())
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}
