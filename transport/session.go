package transport

import (
	"net/http"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// nameSession tells the caller which endpoint its session is at, if that is
// where its calls go from now on. A server error names nobody: the next call
// may be luckier where the session was.
func (k *call) nameSession(a *attempt) {
	s := k.svc.balancer.Sticky()
	if s == nil || a.resp.StatusCode >= 500 {
		return
	}
	name := a.endpoint.Name()
	switch {
	case s.Header != "":
		a.resp.Header.Set(s.Header, name)
	case k.want.Request.Cookie(s.Cookie) != name:
		a.resp.Header.Add("Set-Cookie", sessionCookie(s, name).String())
	}
}

func sessionCookie(s *balance.Sticky, name string) *http.Cookie {
	c := &http.Cookie{
		Name: s.Cookie, Value: name, Path: s.Path, MaxAge: int(s.MaxAge / time.Second),
		HttpOnly: true, Secure: s.Secure, SameSite: http.SameSiteLaxMode,
	}
	switch s.SameSite {
	case balance.SameSiteStrict:
		c.SameSite = http.SameSiteStrictMode
	case balance.SameSiteNone:
		c.SameSite = http.SameSiteNoneMode
	}
	return c
}
