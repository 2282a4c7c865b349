package compress

import (
	"compress/gzip"
	"net/http"
	"slices"
	"sync"
)

// Responses returns a handler that serves next and compresses its responses
// with gzip for clients that accept it, as far as s says.
//
// Never compressed are parts of a representation (206, Content-Range), what is
// encoded or digested already, what must not be transformed (Cache-Control:
// no-transform), answers to HEAD and those without a body. A strong ETag
// becomes weak, as the bytes are others now. Vary says that Accept-Encoding
// made a difference, where it could have.
//
// A response is held back until it has MinBytes or is over; until then its
// header may change. Flush passes on what there is, compressed or not.
// Deadlines, informational responses, trailers and takeovers work through it,
// and a handler that panics leaves no body that looks complete.
func Responses(next http.Handler, s Settings) (http.Handler, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.WithDefaults()
	s.Types = slices.Clone(s.Types)
	c := &compressor{settings: s, next: next}
	c.writers.New = func() any {
		z, _ := gzip.NewWriterLevel(nil, s.Level) // the level is a good one
		return z
	}
	return c, nil
}

type compressor struct {
	settings Settings
	next     http.Handler
	writers  sync.Pool // of *gzip.Writer
}

// ServeHTTP implements [http.Handler].
func (c *compressor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rw := &responseWriter{ResponseWriter: w, c: c, wanted: r.Method != http.MethodHead && wantsGzip(r.Header)}
	returned := false
	defer func() {
		if returned {
			rw.finish()
		}
		rw.recycle()
	}()
	c.next.ServeHTTP(rw, r)
	returned = true
}
