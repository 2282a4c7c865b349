package static_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/discoverytest"
	"github.com/gabion-go/gabion/discovery/static"
)

func TestConformance(t *testing.T) {
	discoverytest.Run(t, func(t *testing.T) discoverytest.Harness {
		b, err := static.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return discoverytest.Harness{Backend: b, Set: b.Set}
	})
}

// first returns the list that a watch begins with.
func first(t *testing.T, r discovery.Resolver, service string) []discovery.Instance {
	t.Helper()
	for list, err := range r.Watch(t.Context(), service) {
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	t.Fatal("the watch ended")
	return nil
}

func TestOpen(t *testing.T) {
	for url, want := range map[string]string{
		"static:": "",
		"static:pricing=127.0.0.1:9001,127.0.0.1:9002;cart=127.0.0.1:9003": "pricing@127.0.0.1:9001 pricing@127.0.0.1:9002",
		"static:cart=[::1]:9003;pricing=pricing.local:80":                  "pricing@pricing.local:80",
	} {
		b, err := static.Open(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		var got []string
		for _, in := range first(t, b, "pricing") {
			got = append(got, in.ID)
			if err := in.Validate(); err != nil {
				t.Errorf("%s: %v", url, err)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: got %q, want %q", url, s, want)
		}
	}
}

func TestOpenSaysWhere(t *testing.T) {
	for url, want := range map[string]string{
		"":                               "character 1:",
		"consul://127.0.0.1":             "character 1:",
		"static:pricing":                 "character 8:",
		"static:a=127.0.0.1:1;":          "character 22:",
		"static://a=127.0.0.1:1":         "character 8:",
		"static:a=127.0.0.1:1;b c=x":     "character 22:",
		"static:a=127.0.0.1:1,x":         "character 22:",
		"static:a=127.0.0.1:1,0.0.0.0:1": "character 22:",
		"static:a=":                      "character 10:",
		"static:a=h:1;a=h:2":             "character 14:",
		"static:a=h:1,h:2,h:1":           "character 18:",
	} {
		_, err := static.Open(t.Context(), url)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	in := discovery.Instance{Addr: "127.0.0.1:1"}
	for name, lists := range map[string]map[string][]discovery.Instance{
		"bad service":   {"a b": {in}},
		"bad address":   {"a": {{Addr: "x"}}},
		"other service": {"a": {{Addr: "127.0.0.1:1", Service: "b"}}},
		"same twice":    {"a": {in, in}},
	} {
		if _, err := static.New(lists); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSetWithAnErrorChangesNothing(t *testing.T) {
	b, err := static.New(map[string][]discovery.Instance{"a": {{Addr: "127.0.0.1:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Set("a", []discovery.Instance{{Addr: "127.0.0.1:2"}, {}}); err == nil {
		t.Error("no error")
	}
	if l := first(t, b, "a"); len(l) != 1 || l[0].Addr != "127.0.0.1:1" {
		t.Errorf("got %v", l)
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{"static:", "static:a=b:1,c:2;d=e:3", "static:=:;", "static:a=[::1]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		b, err := static.Open(context.Background(), url)
		if err != nil {
			if !strings.Contains(err.Error(), "character") {
				t.Errorf("%q: %v says no place", url, err)
			}
			return
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func ExampleOpen() {
	b, err := static.Open(context.Background(), "static:pricing=127.0.0.1:9001,127.0.0.1:9002")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	for list := range b.Watch(context.Background(), "pricing") {
		for _, in := range list {
			fmt.Println(in.ID, in.Addr)
		}
		break
	}
	_, err = b.Register(context.Background(), discovery.Instance{Service: "cart"}, nil)
	fmt.Println(errors.Is(err, discovery.ErrReadOnly))
	// Output:
	// pricing@127.0.0.1:9001 127.0.0.1:9001
	// pricing@127.0.0.1:9002 127.0.0.1:9002
	// true
}

func ExampleBackend_Set() {
	b, err := static.New(map[string][]discovery.Instance{"pricing": {{Addr: "127.0.0.1:9001"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for list := range b.Watch(context.Background(), "pricing") {
		fmt.Println(len(list), "instances")
		if len(list) == 2 {
			b.Close() // ends the watch
			continue
		}
		if err := b.Set("pricing", []discovery.Instance{{Addr: "127.0.0.1:9001"}, {Addr: "127.0.0.1:9002"}}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 1 instances
	// 2 instances
}
