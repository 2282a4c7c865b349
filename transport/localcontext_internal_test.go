package transport

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/gabion-go/gabion/transport/limit"
)

// What belongs to the caller's call is not there for a handler in process, which
// makes calls of its own; what else the caller put into its context is.
func TestLocalContextHides(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "kept")
	ctx = context.WithValue(WithCriticality(ctx, limit.Sheddable), inBatchKey{}, true)
	ctx = context.WithValue(ctx, sharedKey{}, new(atomic.Bool))
	ctx = context.WithValue(ctx, requestStateKey{}, new(requestState))
	own := new(requestState)
	local := localContext{ctx, own}
	if local.Value(inBatchKey{}) != nil || local.Value(sharedKey{}) != nil {
		t.Error("calls of the handler count as those of its caller")
	}
	if c, ok := CriticalityOf(local); ok {
		t.Errorf("the handler's calls are %v, as its caller's", c)
	}
	if requestStateOf(local) != own || local.Value(key{}) != "kept" {
		t.Error("the handler lacks what is its own")
	}
}
