package cors

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
)

// Settings say who may call, and how. A zero field means its default. In JSON
// durations are strings, and an unknown name is an error.
type Settings struct {
	// Origins are the origins whose pages may read responses, as browsers name
	// them: "https://shop.example", "http://localhost:8080". The one entry "*"
	// stands for all, where there are no Credentials. At least one is needed.
	Origins []string
	// Methods are those allowed. Default GET, HEAD and POST.
	Methods []string
	// Headers are the request's headers that scripts may set. "*" stands for
	// all, where there are no Credentials. Default Accept and Content-Type.
	Headers []string
	// Exposed are the response's headers that scripts may read, besides the
	// harmless few that they always may. Default none.
	Exposed []string
	// Credentials says whether browsers send cookies, client certificates and
	// passwords along.
	Credentials bool
	// MaxAge is how long browsers may keep the answer to a preflight request, at
	// most 24 h. Default 10 min; negative means not at all.
	MaxAge time.Duration
}

var anyOrigin = []string{"*"}

// WithDefaults returns s with every zero field set to its default.
func (s Settings) WithDefaults() Settings {
	if len(s.Methods) == 0 {
		s.Methods = []string{http.MethodGet, http.MethodHead, http.MethodPost}
	}
	if len(s.Headers) == 0 {
		s.Headers = []string{"Accept", "Content-Type"}
	}
	if s.MaxAge == 0 {
		s.MaxAge = 10 * time.Minute
	}
	return s
}

// Validate reports, joined, everything that is wrong with s.
func (s Settings) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("cors: "+format, args...))
	}
	if len(s.Origins) == 0 {
		bad("no origins: name those that may call")
	}
	if !slices.Equal(s.Origins, anyOrigin) {
		for _, o := range s.Origins {
			if err := checkOrigin(o); err != nil {
				bad("%w", err)
			}
		}
	} else if s.Credentials {
		bad(`origin "*" with credentials: every page could act as its user`)
	}
	for _, m := range s.Methods {
		if !isToken(m) || slices.Contains([]string{"CONNECT", "TRACE", "TRACK"}, strings.ToUpper(m)) {
			bad("method %q: browsers do not send it", m)
		}
	}
	for _, h := range s.Headers {
		if h == "*" && s.Credentials {
			bad(`header "*" with credentials: name each`)
		} else if !isToken(h) || h != "*" && strings.Contains(h, "*") {
			bad("header %q: no name of a header", h)
		}
	}
	for _, h := range s.Exposed {
		if h == "*" && s.Credentials {
			bad(`exposed header "*" with credentials: browsers take it for a name`)
		} else if !isToken(h) {
			bad("exposed header %q: no name of a header", h)
		}
	}
	if s.MaxAge > 24*time.Hour {
		bad("max_age %v: must not be more than 24h, where browsers cut it", s.MaxAge)
	}
	return errors.Join(errs...)
}

// isToken reports whether s can be a method or the name of a header (RFC 9110,
// 5.6.2).
func isToken(s string) bool {
	other := func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}
	return s != "" && !strings.ContainsFunc(s, other)
}

type settingsJSON struct {
	Origins     []string          `json:"origins,omitzero"`
	Methods     []string          `json:"methods,omitzero"`
	Headers     []string          `json:"headers,omitzero"`
	Exposed     []string          `json:"exposed,omitzero"`
	Credentials bool              `json:"credentials,omitzero"`
	MaxAge      duration.Duration `json:"max_age,omitzero"`
}

// MarshalJSON writes the fields that are set.
func (s Settings) MarshalJSON() ([]byte, error) {
	return json.Marshal(settingsJSON{s.Origins, s.Methods, s.Headers, s.Exposed, s.Credentials, duration.Duration(s.MaxAge)})
}

// UnmarshalJSON reads what the object names and leaves the rest of s as it was.
func (s *Settings) UnmarshalJSON(b []byte) error {
	j := settingsJSON{s.Origins, s.Methods, s.Headers, s.Exposed, s.Credentials, duration.Duration(s.MaxAge)}
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("cors: settings: %w", err)
	}
	*s = Settings{j.Origins, j.Methods, j.Headers, j.Exposed, j.Credentials, time.Duration(j.MaxAge)}
	return nil
}
