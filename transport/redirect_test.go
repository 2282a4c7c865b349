package transport_test

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/internal/leaktest"
)

// credentials are headers that are meant for one service alone.
var credentials = map[string]string{
	"Authorization":        "Bearer secret",
	"Proxy-Authorization":  "Basic secret",
	"Cookie":               "session=secret",
	"X-Consul-Token":       "secret",
	"X-Api-Key":            "secret",
	"Api-Key":              "secret",
	"X-Amz-Security-Token": "secret",
	"Baggage":              "user=secret",
}

// A redirect to another host, another port of the host or another scheme is the
// caller's to follow: whatever the status, the other side hears nothing, of
// headers, cookies or the body. On the same host the headers go along.
func TestCredentialsStayWithTheirHost(t *testing.T) {
	leaktest.Check(t)
	var to string
	var status int
	stranger := hosts(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other host got %s %v", r.Method, r.Header)
	}), nil, "stranger")["stranger"].Addr
	home := hosts(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			for name, value := range credentials {
				if r.Header.Get(name) != value {
					t.Errorf("the same host got %s %q, want %q", name, r.Header.Get(name), value)
				}
			}
			return
		}
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	}), nil, "home")["home"].Addr
	c := over(t, nil, home)
	port := func(addr string) string { return addr[strings.LastIndex(addr, ":"):] }
	for name, tc := range map[string]struct {
		from, to string
		follow   bool
	}{
		"an address":           {"http://raw/", "http://" + stranger + "/", false},
		"another name for it":  {"http://raw/", "http://" + home + "/", false},
		"without a scheme":     {"http://raw/", "//" + stranger + "/", false},
		"another service":      {"http://raw/", "http://other/", false},
		"another scheme":       {"http://raw/", "https://raw/", false},
		"a name below":         {"http://raw/", "http://raw." + stranger + "/", false},
		"with a user":          {"http://raw/", "http://raw@" + stranger + "/", false},
		"another port":         {"http://" + home + "/", "http://127.0.0.1" + port(stranger) + "/", false},
		"the same host":        {"http://raw/", "/there", true},
		"the same host, named": {"http://raw/", "http://raw/there", true},
	} {
		for _, status = range []int{301, 302, 303, 307, 308} {
			for _, method := range []string{"GET", "POST", "PUT"} {
				t.Run(fmt.Sprint(name, "/", status, "/", method), func(t *testing.T) {
					to = tc.to
					got, _, err := do(t.Context(), c, method, tc.from, "a secret", credentials)
					want := status
					if tc.follow {
						want = http.StatusOK
					}
					if err != nil || got != want {
						t.Errorf("got %d %v, want %d", got, err, want)
					}
				})
			}
		}
	}
}

// Nor do the cookies of a jar go with it.
func TestCookiesStayWithTheirHost(t *testing.T) {
	leaktest.Check(t)
	stranger := hosts(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other host got %v", r.Header)
	}), nil, "stranger")["stranger"].Addr
	home := hosts(t, http.RedirectHandler("http://"+stranger+"/", http.StatusFound), nil, "home")["home"].Addr
	client := over(t, nil, home).HTTPClient()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(&url.URL{Scheme: "http", Host: "raw"}, []*http.Cookie{{Name: "session", Value: "secret"}})
	client.Jar = jar
	resp, err := client.Get("http://raw/")
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Fatalf("got %v %v", resp, err)
	}
	_ = resp.Body.Close()
}
