package identity_test

import (
	"net/http"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/internal/identity"
)

// Whatever two requests hold: their identities are equal only if they are.
func TestOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		same := a.URL.Path == b.URL.Path && a.Host == b.Host && len(a.Header) == len(b.Header)
		for name := range a.Header {
			same = same && slices.Equal(a.Header[name], b.Header[name])
		}
		got := identity.Of(a, "", identity.Incidental) == identity.Of(b, "", identity.Incidental)
		if got != same {
			t.Fatalf("the same: %v, want %v\n%v\n%v", got, same, a, b)
		}
	})
}

// draw returns a request of few letters, so that two are often nearly equal.
func draw(t *rapid.T, label string) *http.Request {
	word := rapid.StringOfN(rapid.RuneFrom([]rune{'a', '1', ' '}), 0, 3, -1)
	req, _ := http.NewRequest(http.MethodGet, "http://pricing/", nil)
	req.URL.Path = "/" + word.Draw(t, label+" path")
	req.Host = word.Draw(t, label+" host")
	for range rapid.IntRange(0, 3).Draw(t, label+" fields") {
		req.Header.Add("X-"+word.Draw(t, label+" name"), word.Draw(t, label+" value"))
	}
	return req
}

func TestWhatIsLeftOut(t *testing.T) {
	req, _ := http.NewRequest("", "http://pricing/", nil)
	plain := identity.Of(req, "", identity.Incidental)
	for _, name := range identity.Incidentals() {
		req.Header.Set(name, "x")
		if http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is not canonical", name)
		}
	}
	if got := identity.Of(req, "", identity.Incidental); got != plain {
		t.Errorf("incidental fields change the identity to %q", got)
	}
	if identity.Of(req, "tenant", identity.Incidental) == plain {
		t.Error("extra is not part of it")
	}
}

func TestShareable(t *testing.T) {
	for name, c := range map[string]struct {
		req, resp http.Header
		want      bool
	}{
		"plain":                {nil, http.Header{"Cache-Control": {"max-age=1"}}, true},
		"cookie":               {nil, http.Header{"Set-Cookie": {"a=b"}}, false},
		"no-store":             {nil, http.Header{"Cache-Control": {"max-age=1", "x, No-Store"}}, false},
		"private":              {nil, http.Header{"Cache-Control": {`private="x"`}}, false},
		"private to its owner": {http.Header{"Cookie": {"a=b"}}, http.Header{"Cache-Control": {"private"}}, true},
		"vary":                 {nil, http.Header{"Vary": {"accept, cookie"}}, true},
		"vary by all":          {nil, http.Header{"Vary": {"*"}}, false},
		"vary by an id":        {nil, http.Header{"Vary": {"accept", "x-request-id"}}, false},
	} {
		if got := identity.Shareable(c.req, c.resp, identity.Incidental); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
