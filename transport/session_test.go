package transport_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
)

// browser is a caller that brings back the cookie that it was given.
type browser struct {
	cookie string
	at     string // who answered last
	given  int    // how often it was given a cookie
}

// call makes a call, and returns whether somebody else than last time answered.
func (b *browser) call(t *testing.T, c *transport.Client) (moved bool) {
	t.Helper()
	req := request(t, "http://shop/", nil)
	req.Method = "GET"
	if b.cookie != "" {
		req.AddCookie(&http.Cookie{Name: "theme", Value: "dark"})
		req.AddCookie(&http.Cookie{Name: "lb", Value: b.cookie})
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	for _, cookie := range resp.Cookies() {
		if cookie.Name == "lb" {
			b.cookie = cookie.Value
			b.given++
		}
	}
	was := b.at
	b.at = resp.Header.Get("Version")
	return was != b.at
}

// A thousand sessions stay where they are, move once when their endpoint leaves
// or fails, and stay there when it comes back.
func TestStickySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		sick := "" // the version that fails
		f.versions("shop", func(w http.ResponseWriter, _ *http.Request) {
			if w.Header().Get("Version") == sick {
				w.WriteHeader(503)
			}
		}, "1", "2", "3", "4", "5")
		p := transport.Policy{Balance: balance.Policy{Sticky: balance.Sticky{Cookie: "lb"}}}
		p.Retry.Budget.Cap = 1000
		c := f.client(transport.WithServicePolicy("shop", p))
		sessions := make([]browser, 1000)
		round := func(why, left string) {
			t.Helper()
			for i := range sessions {
				b := &sessions[i]
				was := b.at
				if moved := b.call(t, c); moved != (was == left) {
					t.Fatalf("%s: session %d went from %q to %q", why, i, was, b.at)
				}
			}
		}
		given := func(want int) {
			t.Helper()
			n := 0
			for i := range sessions {
				n += sessions[i].given
				if s := sessions[i].cookie; len(s) != 16 || strings.Contains(s, "shop") {
					t.Fatalf("a session is named %q", s)
				}
			}
			if n != want {
				t.Errorf("%d cookies were given to 1000 sessions, want %d", n, want)
			}
		}
		at := func(version string) (n int) {
			for i := range sessions {
				if sessions[i].at == version {
					n++
				}
			}
			return n
		}
		round("first", "")
		round("nothing has changed", "-")
		round("nothing has changed", "-")
		given(1000)

		endpoints := c.Services()[0].Balancer.Endpoints()
		var list []discovery.Instance
		for _, e := range endpoints {
			list = append(list, e.Instance())
		}
		moved := at("1")
		_ = f.static.Set("shop", list[1:])
		synctest.Wait()
		round("one has left", "1")
		round("one has left", "-")
		_ = f.static.Set("shop", list)
		synctest.Wait()
		round("it is back", "-")
		given(1000 + moved)

		sick = "2"
		moved += at("2")
		round("one fails", "2")
		if got := endpoints[1].State(); got != balance.Ejected {
			t.Errorf("it is %v", got)
		}
		sick = ""
		round("one has failed", "-")
		time.Sleep(time.Minute)
		round("it is well again", "-")
		given(1000 + moved)
	})
}

// What the cookie says, and when there is none.
func TestSessionCookie(t *testing.T) {
	for name, tc := range map[string]struct {
		sticky balance.Sticky
		bring  string // the header Cookie
		status int
		want   string // the header Set-Cookie, where # is the name
	}{
		"plain":              {balance.Sticky{Cookie: "lb"}, "", 200, "lb=#; Path=/; HttpOnly; SameSite=Lax"},
		"everything":         {balance.Sticky{Cookie: "lb", Path: "/x", MaxAge: time.Hour, SameSite: balance.SameSiteStrict, Secure: true}, "", 200, "lb=#; Path=/x; Max-Age=3600; HttpOnly; Secure; SameSite=Strict"},
		"none":               {balance.Sticky{Cookie: "lb", SameSite: balance.SameSiteNone, Secure: true}, "", 200, "lb=#; Path=/; HttpOnly; Secure; SameSite=None"},
		"known":              {balance.Sticky{Cookie: "lb"}, "lb=#", 200, ""},
		"another":            {balance.Sticky{Cookie: "lb"}, "lb=0123456789abcdef", 200, "lb=#; Path=/; HttpOnly; SameSite=Lax"},
		"nonsense":           {balance.Sticky{Cookie: "lb"}, `lb="; x`, 200, "lb=#; Path=/; HttpOnly; SameSite=Lax"},
		"not found":          {balance.Sticky{Cookie: "lb"}, "", 404, "lb=#; Path=/; HttpOnly; SameSite=Lax"},
		"server error":       {balance.Sticky{Cookie: "lb"}, "", 500, ""},
		"off":                {balance.Sticky{}, "", 200, ""},
		"in another's place": {balance.Sticky{Header: "X-Session"}, "X-Session=#", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				f.start("shop", "a:1", func(w http.ResponseWriter, _ *http.Request) {
					http.SetCookie(w, &http.Cookie{Name: "own", Value: "1"})
					w.WriteHeader(tc.status)
				})
				c := f.client(transport.WithServicePolicy("shop", transport.Policy{Balance: balance.Policy{Sticky: tc.sticky}}))
				_, _, _ = get(t.Context(), c, "http://shop/")
				named := strings.NewReplacer("#", c.Services()[0].Balancer.Endpoints()[0].Name())
				req := request(t, "http://shop/", nil)
				req.Header.Set("Cookie", named.Replace(tc.bring))
				resp, err := c.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				want := []string{"own=1"}
				if tc.want != "" {
					want = append(want, named.Replace(tc.want))
				}
				if got := resp.Header["Set-Cookie"]; !slices.Equal(got, want) {
					t.Errorf("cookies %q, want %q", got, want)
				}
			})
		})
	}
}

// A client with a jar needs to know nothing of it.
func TestSessionWithAJar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.versions("shop", answer(200), "1", "2", "3", "4", "5")
		c := f.client(transport.WithServicePolicy("shop", transport.Policy{Balance: balance.Policy{Sticky: balance.Sticky{Cookie: "lb"}}}))
		h := c.HTTPClient()
		h.Jar, _ = cookiejar.New(nil)
		seen := map[string]bool{}
		for range 50 {
			resp, err := h.Get("http://shop/")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			seen[resp.Header.Get("Version")] = true
		}
		if len(seen) != 1 {
			t.Errorf("a session was at %v", seen)
		}
	})
}

// Between services a header does what a cookie does for browsers. It composes
// with a split, and a canary that was told to leave lets its sessions go.
func TestSessionByHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.versions("shop", answer(200), "v1", "v1", "v2", "v2")
		policy := func(percent float64) balance.Policy {
			return balance.Policy{
				SlowStart: -1, Sticky: balance.Sticky{Header: "X-Session"},
				Splits: []balance.Split{{To: []balance.Share{share("v2", percent)}}},
			}
		}
		c := f.client(transport.WithServicePolicy("shop", transport.Policy{Balance: policy(20)}))
		names := make([]string, 200)
		round := func() (count map[string]int, moved int) {
			t.Helper()
			count = map[string]int{}
			for i := range names {
				req := request(t, "http://shop/"+fmt.Sprint(i), nil)
				req.Header.Set("X-Session", names[i])
				resp, err := c.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if name := resp.Header.Get("X-Session"); name != names[i] {
					names[i] = name
					moved++
				}
				count[resp.Header.Get("Version")]++
			}
			return count, moved
		}
		first, _ := round()
		if n := first["v2"]; n < 20 || n > 60 {
			t.Errorf("%d of 200 sessions begin at the canary, want a fifth", n)
		}
		if _, moved := round(); moved != 0 {
			t.Errorf("%d sessions moved", moved)
		}
		if err := c.Services()[0].Balancer.SetPolicy(policy(0)); err != nil {
			t.Fatal(err)
		}
		if count, moved := round(); moved != first["v2"] || count["v2"] != 0 {
			t.Errorf("%d sessions moved and %d are at the canary when it gets no calls; %d were there", moved, count["v2"], first["v2"])
		}
	})
}
