package balance

import (
	"fmt"
	"testing"

	"github.com/gabion-go/gabion/discovery"
)

// However many come and go within a minute, so many are remembered.
func TestMemoryIsBounded(t *testing.T) {
	b, err := New(Policy{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxRemembered {
		b.Update([]discovery.Instance{{ID: fmt.Sprint(i), Addr: "a:1"}})
	}
	if n := len(b.remembered); n != maxRemembered {
		t.Errorf("%d are remembered, want %d", n, maxRemembered)
	}
}
