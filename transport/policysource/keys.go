package policysource

import (
	"context"
	"iter"
	"maps"
	"slices"
)

// Prefix is what the keys of policies begin with: gabion/policy/pricing is the
// policy of calls to pricing, gabion/policy/_default that of calls to services
// without one of their own.
const Prefix = "gabion/policy/"

// A KV is a key-value store, such as a Backend of package discovery/consul.
type KV interface {
	// WatchKV yields the values of all keys below prefix by what follows it,
	// first when known and then on each change. After a failure it yields a nil
	// map and the error, backs off, and goes on until ctx ends.
	WatchKV(ctx context.Context, prefix string) iter.Seq2[map[string][]byte, error]
}

// Keys returns a source that is the keys of kv below prefix, [Prefix] as a rule,
// each with one policy: that of the service which the rest of the key names, or
// the default policy if that is [ScopeDefault].
func Keys(kv KV, prefix string) Source { return keys{kv, prefix} }

type keys struct {
	kv     KV
	prefix string
}

func (k keys) String() string { return "keys " + k.prefix }

func (k keys) Watch(ctx context.Context) iter.Seq2[[]Document, error] {
	return func(yield func([]Document, error) bool) {
		for values, err := range k.kv.WatchKV(ctx, k.prefix) {
			if !yield(k.documents(values), err) {
				return
			}
		}
	}
}

// documents returns nil for nil.
func (k keys) documents(values map[string][]byte) []Document {
	if values == nil {
		return nil
	}
	docs := make([]Document, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		docs = append(docs, Document{Name: k.prefix + name, Scope: name, Data: values[name]})
	}
	return docs
}
