package policysource_test

import (
	"context"
	"encoding/json"
	"iter"
	"reflect"
	"testing"

	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/policysource"
)

// told is a source that says one thing after the other.
type told [][]policysource.Document

func (told) String() string { return "told" }

func (s told) Watch(context.Context) iter.Seq2[[]policysource.Document, error] {
	return func(yield func([]policysource.Document, error) bool) {
		for _, docs := range s {
			if !yield(docs, nil) {
				return
			}
		}
	}
}

// Whatever a document says after a good one, and for whomever: it is in force, or
// it is refused with a reason and the good one is in force still.
func FuzzDocument(f *testing.F) {
	f.Add("", []byte(`{"default":{"timeout":"2s"},"services":{"cart":{"breaker":{"probes":2}}}}`))
	f.Add("cart", []byte(`{"timeout":"2s","retry":{"attempts":1}}`))
	f.Add("_default", []byte(`{"timeout":"2s"}`))
	f.Add("cart", []byte(`{"timeout":"-2s"}`))
	f.Add("no service\n", []byte(`{}`))
	f.Add("cart", []byte(`{"routes":{"GET /a/{b}":{},"GET /a/{c}":{}}}`))
	f.Add("cart", []byte(`null`))
	f.Fuzz(func(t *testing.T, scope string, data []byte) {
		registry, err := static.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer registry.Close()
		c, err := transport.NewClient(registry)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		text := `{"timeout":"7s"}`
		if scope == "" {
			text = `{"default":` + text + `}`
		}
		doc := policysource.Document{Name: "doc", Scope: scope, Data: []byte(text)}
		before := followed(t, c, told{{doc}})
		good, _ := json.Marshal(c.Policies())
		if before.Accepted.IsZero() { // no such service
			if before.Err == nil {
				t.Fatalf("%q: neither accepted nor refused", scope)
			}
			return
		}
		next := doc
		next.Data = data
		got := followed(t, c, told{{doc}, {next}})
		if (got.Err != nil) != !got.Refused.IsZero() || got.Accepted.IsZero() {
			t.Fatalf("%q %s: %+v", scope, data, got)
		}
		if now, _ := json.Marshal(c.Policies()); got.Err != nil && string(now) != string(good) {
			t.Errorf("%q %s: refused, %v, and in force is %s, want %s", scope, data, got.Err, now, good)
		}
		if got.Err == nil {
			inForce(t, c, scope, data)
		}
	})
}

// followed returns what becomes of the one document of a source.
func followed(t *testing.T, c *transport.Client, s told) policysource.DocumentStatus {
	t.Helper()
	f := policysource.NewFollower(s, c, nil)
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f.Status().Documents[0]
}

// inForce checks that c goes by what a document says.
func inForce(t *testing.T, c *transport.Client, scope string, data []byte) {
	t.Helper()
	if scope == "" {
		p, err := transport.ParsePolicies(data)
		if err != nil || !reflect.DeepEqual(c.Policies().Default, p.Default) {
			t.Errorf("%s is in force as %+v, %v", data, c.Policies().Default, err)
		}
		for name := range p.Services {
			if !reflect.DeepEqual(c.PolicyFor(name), p.Services[name]) {
				t.Errorf("%s is in force for %q as %+v", data, name, c.PolicyFor(name))
			}
		}
		return
	}
	p, err := transport.ParsePolicy(data)
	if scope == policysource.ScopeDefault {
		scope = "stranger"
	}
	if err != nil || !reflect.DeepEqual(c.PolicyFor(scope), p) {
		t.Errorf("%s is in force for %q as %+v, %v", data, scope, c.PolicyFor(scope), err)
	}
}
