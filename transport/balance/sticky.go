package balance

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/random"
)

// The values of [Sticky.SameSite].
const (
	SameSiteLax    = "lax"
	SameSiteStrict = "strict"
	SameSiteNone   = "none"
)

// BySession: the call's session is at that endpoint.
const BySession ChoiceReason = "session"

// Sticky keeps the calls of a session at one endpoint. The response names the
// endpoint that answered, in a cookie or a header, and a request that brings the
// name along goes there, whatever the policy, the load and the zone, while the
// endpoint is available, does not rest and was not tried in the same call.
// Otherwise the policy chooses, and the response names the new one: a session
// moves once, and does not move back. A response with a server error names
// nobody.
//
// Names say nothing about addresses and are the same on all clients, so a
// session may come in by any of them, if they use the same endpoints: see
// [Subset] and [Endpoint.Name]. A name that is unknown is passed over.
//
// A session goes nowhere that [Policy.Select] excludes, or [Policy.Splits] for
// its condition or its key. A share that is given by chance it keeps, for as
// long as the share has any of the calls: who came to the canary stays there.
//
// The zero Sticky is off.
type Sticky struct {
	// Cookie is the name of the cookie.
	Cookie string
	// Header is the name of the header, of the request and of the response, for
	// callers that keep no cookies. Either Cookie or Header can be set.
	Header string
	// Path is that of the cookie. Default "/".
	Path string
	// MaxAge is how long the cookie is kept, from when the endpoint was chosen
	// on, in whole seconds. Default until the session of the browser ends.
	MaxAge time.Duration
	// SameSite is that of the cookie: SameSiteLax, SameSiteStrict or
	// SameSiteNone, which needs Secure. Default SameSiteLax.
	SameSite string
	// Secure keeps the cookie to https. Scripts cannot read it in any case.
	Secure bool
}

func (s *Sticky) on() bool { return s.Cookie != "" || s.Header != "" }

func (s *Sticky) withDefaults() {
	if s.Cookie != "" {
		s.Path = cmp.Or(s.Path, "/")
		s.SameSite = cmp.Or(s.SameSite, SameSiteLax)
	}
}

func (s *Sticky) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("balance: sticky "+format, args...))
	}
	if s.Cookie != "" && s.Header != "" {
		bad("cookie %q and header %q: want one of them", s.Cookie, s.Header)
	}
	if s.Cookie == "" && (s.Path != "" || s.MaxAge != 0 || s.SameSite != "" || s.Secure) {
		bad("path, max_age, same_site or secure: want a cookie too")
	}
	for field, name := range map[string]string{"cookie": s.Cookie, "header": s.Header} {
		if !isToken(name) {
			bad("%s %q: want letters, digits and any of %s", field, name, tokenMarks)
		}
	}
	if !isPath(s.Path) {
		bad("path %q: want / and no control characters or semicolons", s.Path)
	}
	if s.MaxAge < 0 || s.MaxAge > 0 && s.MaxAge < time.Second {
		bad("max_age %v: want at least 1s", s.MaxAge)
	}
	if !slices.Contains([]string{"", SameSiteLax, SameSiteStrict, SameSiteNone}, s.SameSite) {
		bad("same_site %q: want %s, %s or %s", s.SameSite, SameSiteLax, SameSiteStrict, SameSiteNone)
	}
	if s.SameSite == SameSiteNone && !s.Secure {
		bad("same_site %s: browsers want secure with it", SameSiteNone)
	}
	return errors.Join(errs...)
}

// tokenMarks are the characters of a token that are no letters or digits. Source:
// RFC 9110, 5.6.2.
const tokenMarks = "!#$%&'*+-.^_`|~"

// isToken reports whether s can name a cookie or a header; it may be empty.
func isToken(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune(tokenMarks, r)
	})
}

func isPath(s string) bool {
	return s == "" || s[0] == '/' && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == ';' })
}

// stickyJSON is the form of Sticky in JSON.
type stickyJSON struct {
	Cookie   string            `json:"cookie,omitzero"`
	Header   string            `json:"header,omitzero"`
	Path     string            `json:"path,omitzero"`
	MaxAge   duration.Duration `json:"max_age,omitzero"`
	SameSite string            `json:"same_site,omitzero"`
	Secure   bool              `json:"secure,omitzero"`
}

func (s Sticky) json() stickyJSON {
	return stickyJSON{s.Cookie, s.Header, s.Path, duration.Duration(s.MaxAge), s.SameSite, s.Secure}
}

func (j stickyJSON) sticky() Sticky {
	return Sticky{j.Cookie, j.Header, j.Path, time.Duration(j.MaxAge), j.SameSite, j.Secure}
}

// Sticky returns how sessions stay at their endpoints, with defaults filled in,
// or nil if they do not. It is shared: do not change it.
func (b *Balancer) Sticky() *Sticky {
	if v := b.view.Load(); v.names != nil {
		return &v.policy.Sticky
	}
	return nil
}

// Name returns the name of e in sticky sessions: 16 hexadecimal digits that
// follow from the instance's ID.
func (e *Endpoint) Name() string {
	digits := strconv.FormatUint(nameOf(e.key()), 16)
	return strings.Repeat("0", 16-len(digits)) + digits
}

func nameOf(key string) uint64 { return random.Hash(0, "sticky "+key) }

// nameAll returns the endpoints by name, or nil if sessions are not sticky. The
// lock must be held.
func (b *Balancer) nameAll() map[uint64]*Endpoint {
	if !b.policy.Sticky.on() {
		b.byName = nil
		return nil
	}
	if b.byName != nil && b.named == b.generation {
		return b.byName
	}
	b.byName, b.named = make(map[uint64]*Endpoint, len(b.all)), b.generation
	for _, e := range b.all {
		b.byName[nameOf(e.key())] = e
	}
	return b.byName
}

// session returns the endpoint that the call names, if it may go there, else
// nil. Sessions must be sticky.
func (v *view) session(b *Balancer, c *Call) *Endpoint {
	s := &v.policy.Sticky
	name := c.from(Source{Header: s.Header, Cookie: s.Cookie})
	if len(name) != 16 {
		return nil
	}
	n, err := strconv.ParseUint(name, 16, 64)
	if err != nil {
		return nil
	}
	e := v.names[n]
	if e == nil || slices.Contains(c.Tried, e) || !v.serves(e, b.now()) || !v.admits(c, e) {
		return nil
	}
	if c.Explain != nil {
		c.Explain.Reason = BySession
	}
	return e
}

// serves reports whether e can take the call of a session now.
func (v *view) serves(e *Endpoint, now int64) bool {
	switch e.State() {
	case Available:
	case Ejected:
		if !v.base.panicking {
			return false
		}
	default:
		return false
	}
	return !e.resting(now)
}

// admits reports whether the policy lets a session's call go to e.
func (v *view) admits(c *Call, e *Endpoint) bool {
	in := e.instance.Load()
	if !v.policy.Select.Matches(in) {
		return false
	}
	for _, s := range v.splits {
		if s.policy.When.holds(c) {
			return s.admits(c, e)
		}
	}
	return true
}

// admits reports whether a session's call, of which the split speaks, may go to
// e: because e has a part that the call can come to, or because there is nobody
// in the parts that it can come to.
func (v *viewSplit) admits(c *Call, e *Endpoint) bool {
	in := e.instance.Load()
	key := c.key(v.policy.By)
	open := key == "" // whether chance could have led to the part
	var tied *group
	if !open {
		tied = v.part(v.place(key))
	}
	others, named := 0, false // endpoints in the parts where the call can come to
	for i, g := range v.groups {
		mine := v.policy.To[i].Matches(in)
		named = named || mine
		if g != tied && !(open && v.policy.To[i].Percent > 0) {
			continue
		}
		if mine {
			return true
		}
		others += len(g.set.active)
	}
	if v.rest != nil && (open || tied == v.rest) {
		if !named {
			return true
		}
		others += len(v.rest.set.active)
	}
	return others == 0
}
