package policysource

import (
	"context"
	"iter"
)

// A Source watches where policies are written down.
type Source interface {
	// Watch yields every document, first when known and then on each change:
	// whole sets, never deltas, owned by the caller. After a failure to read any
	// of them it yields a nil slice and the error, waits, and goes on. It ends
	// only when ctx does, or with what the source is built on. It starts nothing
	// that outlives the loop around it.
	Watch(ctx context.Context) iter.Seq2[[]Document, error]
	// String names the source in logs and in /debug/gabion, without secrets.
	String() string
}

// A Document is a piece of a source that is taken or refused as a whole.
type Document struct {
	// Name tells the document from the others of its source: a path, a key.
	Name string
	// Scope says what Data holds in JSON. Empty: [transport.Policies].
	// [ScopeDefault]: the [transport.Policy] of services that have none of their
	// own. Anything else is the name of a service, and Data its Policy.
	Scope string
	Data  []byte
}

// ScopeDefault is the scope of a document that holds the default policy. It is
// not the name of any service.
const ScopeDefault = "_default"
