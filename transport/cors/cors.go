package cors

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// Handler returns a handler that serves next to the origins that s allows.
// Preflight requests are answered with 204 and do not reach next. A request from
// any other origin is served too, but without the header that would let a script
// read the response; Vary names Origin on each response. Access from public to
// private networks is never granted.
func Handler(next http.Handler, s Settings) (http.Handler, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.WithDefaults()
	o := cors.Options{
		AllowedMethods:   s.Methods,
		AllowedHeaders:   s.Headers,
		ExposedHeaders:   s.Exposed,
		AllowCredentials: s.Credentials,
		MaxAge:           int(s.MaxAge.Seconds()),
	}
	if o.MaxAge <= 0 {
		o.MaxAge = -1 // rs/cors sends no header for 0, and browsers then keep the answer 5 s
	}
	if slices.Equal(s.Origins, anyOrigin) {
		o.AllowedOrigins = s.Origins
	} else {
		o.AllowOriginVaryRequestFunc = exactly(s.Origins)
	}
	return cors.New(o).Handler(next), nil
}

// exactly allows one origin of those, in the very form in which browsers send
// it, and on a line of its own: the line is what the response repeats.
func exactly(origins []string) func(*http.Request, string) (bool, []string) {
	origins = slices.Clone(origins)
	return func(r *http.Request, origin string) (bool, []string) {
		return len(r.Header["Origin"]) == 1 && slices.Contains(origins, origin), nil
	}
}

// checkOrigin reports why an origin can be none that a browser sends.
func checkOrigin(origin string) error {
	scheme, host, ok := strings.Cut(origin, "://")
	switch {
	case origin == "null":
		return fmt.Errorf(`origin "null": every sandboxed page has it, whoever made it`)
	case strings.Contains(origin, "*"):
		return fmt.Errorf("origin %q: no wildcard in an origin: name each", origin)
	case !ok || scheme != "http" && scheme != "https" || host == "":
		return fmt.Errorf(`origin %q: want scheme, host and port, such as "https://shop.example"`, origin)
	case strings.ContainsAny(host, "/?#@\\, ") || strings.HasSuffix(host, ":"):
		return fmt.Errorf("origin %q: nothing but scheme, host and port, no slash after them", origin)
	case scheme == "https" && strings.HasSuffix(host, ":443") || scheme == "http" && strings.HasSuffix(host, ":80"):
		return fmt.Errorf("origin %q: browsers leave out the scheme's own port", origin)
	case origin != strings.ToLower(origin) || strings.ContainsFunc(origin, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("origin %q: want lower case, and Punycode for what is not ASCII", origin)
	}
	return nil
}
