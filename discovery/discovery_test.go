package discovery_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/discovery"
)

func TestValidateName(t *testing.T) {
	for name, ok := range map[string]bool{
		"pricing": true, "a": true, "A-1": true, "9lives": true, strings.Repeat("x", 63): true,
		"": false, strings.Repeat("x", 64): false, "-a": false, "a-": false, "a.b": false,
		"a/b": false, "../kv": false, "a b": false, "a\x00": false, "prixé": false, "a:80": false, "a?dc=x": false,
	} {
		err := discovery.ValidateName(name)
		if (err == nil) != ok || (err != nil && !errors.Is(err, discovery.ErrBadName)) {
			t.Errorf("ValidateName(%q) = %v, want ok %v", name, err, ok)
		}
	}
}

func TestValidateAddr(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "[fe80::1%eth0]:80": true, "pricing.local:65535": true, "my_host:1": true,
		"": false, "127.0.0.1": false, "127.0.0.1:0": false, "127.0.0.1:65536": false, "127.0.0.1:http": false,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "[::%eth0]:80": false, "[::ffff:0.0.0.0]:80": false,
		"a b:80": false, "host\n:80": false, "user@host:80": false, "host/x:80": false,
		strings.Repeat("x", 254) + ":80": false, "127.0.0.1:+80": false,
	} {
		if err := discovery.ValidateAddr(addr); (err == nil) != ok {
			t.Errorf("ValidateAddr(%q) = %v, want ok %v", addr, err, ok)
		}
	}
}

func TestInstanceValidate(t *testing.T) {
	good := discovery.Instance{ID: "a", Service: "pricing", Addr: "127.0.0.1:80"}
	if err := good.Validate(); err != nil {
		t.Errorf("good: %v", err)
	}
	err := discovery.Instance{Service: "a b", Addr: "x"}.Validate()
	for _, want := range []string{"without an ID", "bad service name", "want host:port"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestInstanceEqualAndClone(t *testing.T) {
	a := list("a")[0]
	b := a.Clone()
	if !a.Equal(b) {
		t.Error("a clone differs")
	}
	b.Tags[0], b.Meta["k"] = "x", "x"
	if a.Tags[0] != "t" || a.Meta["k"] != "v" || a.Equal(b) {
		t.Error("a clone shares memory")
	}
	a.Tags, a.Meta = nil, nil
	b.Tags, b.Meta = []string{}, map[string]string{}
	if !a.Equal(b) {
		t.Error("nil and empty differ")
	}
}

func TestOpeners(t *testing.T) {
	errNo := errors.New("no")
	o := discovery.Openers{"bad": func(context.Context, string) (discovery.Backend, error) { return nil, errNo }}
	for url, want := range map[string]error{"bad:x": errNo, "other://x": discovery.ErrUnknownScheme, "": discovery.ErrUnknownScheme, "nothing": discovery.ErrUnknownScheme} {
		if _, err := o.Open(t.Context(), url); !errors.Is(err, want) {
			t.Errorf("Open(%q) = %v, want %v", url, err, want)
		}
	}
}

func FuzzValidateAddr(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", "[::1]:1", "a:b:c", "[fe80::1%e]:9", ":", "[]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if discovery.ValidateAddr(s) == nil && strings.ContainsAny(s, " \n\r\t\x00/@?#") {
			t.Errorf("accepted %q", s)
		}
	})
}
