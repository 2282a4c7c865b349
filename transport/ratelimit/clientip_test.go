package ratelimit_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport/ratelimit"
)

var proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func TestClientIP(t *testing.T) {
	for name, tc := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"no proxy":                        {"203.0.113.9:80", nil, "203.0.113.9"},
		"stranger with a header":          {"203.0.113.9:80", []string{"198.51.100.1"}, "203.0.113.9"},
		"proxy":                           {"10.0.0.1:80", []string{"203.0.113.9"}, "203.0.113.9"},
		"forged in front":                 {"10.0.0.1:80", []string{"198.51.100.1, 203.0.113.9"}, "203.0.113.9"},
		"forged as a proxy":               {"10.0.0.1:80", []string{"198.51.100.1, 10.0.0.7, 203.0.113.9"}, "203.0.113.9"},
		"two proxies":                     {"10.0.0.1:80", []string{"198.51.100.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		"two lines":                       {"10.0.0.1:80", []string{"198.51.100.1", "203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		"a line each":                     {"10.0.0.1:80", []string{"198.51.100.1", "203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		"proxies all the way":             {"10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"proxy without a header":          {"10.0.0.1:80", nil, "10.0.0.1"},
		"proxy with an empty header":      {"10.0.0.1:80", []string{""}, "10.0.0.1"},
		"proxy that says unknown":         {"10.0.0.1:80", []string{"203.0.113.9, unknown"}, "10.0.0.1"},
		"garbage behind the second proxy": {"10.0.0.1:80", []string{"203.0.113.9, <x>, 10.0.0.2"}, "10.0.0.2"},
		"trailing comma":                  {"10.0.0.1:80", []string{"203.0.113.9,"}, "10.0.0.1"},
		"spaces":                          {"10.0.0.1:80", []string{" 198.51.100.1 ,\t203.0.113.9 "}, "203.0.113.9"},
		"with a port":                     {"10.0.0.1:80", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		"IPv6":                            {"[2001:db8:1:2:3:4:5:6]:80", nil, "2001:db8:1:2::/64"},
		"IPv6 behind a proxy":             {"[fd00::1]:80", []string{"2001:db8:1:2::6"}, "2001:db8:1:2::/64"},
		"IPv6 in brackets":                {"10.0.0.1:80", []string{"[2001:db8:1:2::6]"}, "2001:db8:1:2::/64"},
		"IPv6 with a port":                {"10.0.0.1:80", []string{"[2001:db8:1:2::6]:443"}, "2001:db8:1:2::/64"},
		"IPv6 with a zone":                {"[fe80::1%eth0]:80", nil, "fe80::/64"},
		"IPv4 in IPv6":                    {"[::ffff:203.0.113.9]:80", nil, "203.0.113.9"},
		"proxy as IPv4 in IPv6":           {"[::ffff:10.0.0.1]:80", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"IPv4 in brackets":                {"10.0.0.1:80", []string{"[203.0.113.9]"}, "10.0.0.1"},
		"half a bracket":                  {"10.0.0.1:80", []string{"[2001:db8::1"}, "10.0.0.1"},
		"octal":                           {"10.0.0.1:80", []string{"203.0.113.09"}, "10.0.0.1"},
		"unix socket":                     {"@", []string{"203.0.113.9"}, "@"},
		"nothing":                         {"", nil, ""},
	} {
		r := &http.Request{RemoteAddr: tc.remote, Header: http.Header{"X-Forwarded-For": tc.forwarded}}
		if got := ratelimit.ClientIP(proxies...)(r); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// Without trusted proxies the header is not looked at.
func TestNoTrust(t *testing.T) {
	r := &http.Request{RemoteAddr: "127.0.0.1:80", Header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}
	if got := ratelimit.ClientIP()(r); got != "127.0.0.1" {
		t.Errorf("got %q", got)
	}
	if got := ratelimit.RemoteAddr(r); got != "127.0.0.1" {
		t.Errorf("got %q", got)
	}
}

// Whatever a stranger writes, in front of what a trusted proxy adds, changes
// nothing; and the result is an address or the proxy's.
func FuzzClientIP(f *testing.F) {
	for _, s := range []string{"", ",", "10.0.0.1", "203.0.113.9, 10.0.0.2", "[::1]:80", "[", "[]", "::ffff:10.0.0.1", "fe80::1%a,b", "unknown", "1.2.3.4:99999"} {
		f.Add(s)
	}
	ip := ratelimit.ClientIP(proxies...)
	f.Fuzz(func(t *testing.T, s string) {
		name := func(lines ...string) string {
			return ip(&http.Request{RemoteAddr: "10.0.0.1:80", Header: http.Header{"X-Forwarded-For": lines}})
		}
		for _, got := range []string{name(s + ",203.0.113.9"), name(s, "203.0.113.9, 10.0.0.2"), name(s, "203.0.113.9")} {
			if got != "203.0.113.9" {
				t.Errorf("%q in front makes the client %q", s, got)
			}
		}
		got := name(s)
		if _, err := netip.ParseAddr(got); err == nil {
			return
		}
		if p, err := netip.ParsePrefix(got); err != nil || p.Bits() != 64 || p != p.Masked() || strings.Contains(got, "%") {
			t.Errorf("%q makes the client %q", s, got)
		}
	})
}
