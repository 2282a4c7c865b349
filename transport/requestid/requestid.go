package requestid

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/netip"
	"slices"
)

// Header carries the id.
const Header = "X-Request-Id"

// MaxBytes is how long an id may be.
const MaxBytes = 128

type contextKey struct{}

// WithID returns a context that carries an id, for work that no request began.
func WithID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// FromContext returns the id of the request that ctx belongs to, or "".
func FromContext(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}

// New returns a random id of 26 letters and digits.
func New() string { return rand.Text() }

// Valid reports whether id may be adopted: 1 to [MaxBytes] letters, digits and
// -._~+/=:@, which are harmless in headers, logs and JSON.
func Valid(id string) bool {
	if id == "" || len(id) > MaxBytes {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/', c == '=', c == ':', c == '@':
		default:
			return false
		}
	}
	return true
}

// Settings say whose ids are adopted.
type Settings struct {
	// Trusted are the networks whose callers are. Nil stands for the default:
	// loopback, link-local and private addresses. Callers that have no IP
	// address, in this process or by a Unix socket, are always trusted.
	Trusted []netip.Prefix `json:"trusted,omitempty"`
}

// Handler returns a handler that serves next with an id in the context, the
// request's header and the response's. The caller is the one that holds the
// connection: put it in front of whatever else rewrites RemoteAddr.
func Handler(next http.Handler, s Settings) http.Handler {
	trusted := slices.Clone(s.Trusted)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id string
		if given := r.Header[Header]; len(given) == 1 && Valid(given[0]) && isTrusted(r.RemoteAddr, trusted) {
			id = given[0]
		} else {
			id = New()
		}
		in := r.WithContext(WithID(r.Context(), id))
		in.Header = r.Header.Clone()
		in.Header.Set(Header, id)
		w.Header().Set(Header, id)
		// Whoever made r looks there for the route, and for files to delete.
		defer func() { r.Pattern, r.MultipartForm = in.Pattern, in.MultipartForm }()
		next.ServeHTTP(w, in)
	})
}

func isTrusted(remote string, trusted []netip.Prefix) bool {
	addrPort, err := netip.ParseAddrPort(remote)
	addr := addrPort.Addr()
	if err != nil { // middleware that rewrites RemoteAddr may have left out the port
		if addr, err = netip.ParseAddr(remote); err != nil {
			return true
		}
	}
	addr = addr.Unmap().WithZone("")
	if trusted == nil {
		return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
	}
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Transport returns a RoundTripper that sends the id of the request's context,
// if it has one and the header has none.
func Transport(next http.RoundTripper) http.RoundTripper { return roundTripper{next} }

type roundTripper struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	id := FromContext(req.Context())
	if id == "" || req.Header[Header] != nil {
		return t.next.RoundTrip(req)
	}
	out := req.Clone(req.Context())
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header.Set(Header, id)
	resp, err := t.next.RoundTrip(out)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// CloseIdleConnections closes those of next, if it can.
func (t roundTripper) CloseIdleConnections() {
	if n, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		n.CloseIdleConnections()
	}
}
