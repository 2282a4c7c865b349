package balance

import (
	"testing"
	"unsafe"

	"github.com/gabion-go/gabion/discovery"
)

// What a pick touches of an endpoint is one cache line, and an endpoint is
// small.
func TestHotLine(t *testing.T) {
	b, err := New(Policy{})
	if err != nil {
		t.Fatal(err)
	}
	var list []discovery.Instance
	for range 20 {
		list = append(list, discovery.Instance{Addr: string(rune('a'+len(list))) + ":80"})
	}
	b.Update(list)
	if size := unsafe.Sizeof(hotLine{}); size != 64 {
		t.Errorf("the hot part has %d bytes, want 64", size)
	}
	for _, e := range b.Endpoints() {
		if at := uintptr(unsafe.Pointer(&e.hotLine)); at%64 != 0 {
			t.Fatalf("the hot part of an endpoint of %d bytes begins at %d of a cache line", unsafe.Sizeof(*e), at%64)
		}
	}
	if size := unsafe.Sizeof(Endpoint{}); size > 1024 {
		t.Errorf("an endpoint takes %d bytes, want 1 KiB at most", size)
	}
}

// Halving is exact at the half-lives and never goes up.
func TestHalved(t *testing.T) {
	const life = halfLife(30)
	for n, want := range []float64{1, 0.5, 0.25, 0.125} {
		if got := life.halved(int64(n) << life); got != want {
			t.Errorf("after %d half-lives %v is left, want %v", n, got, want)
		}
	}
	last := 1.0
	for age := int64(0); age < 6<<life; age += 1 << 24 {
		got := life.halved(age)
		if got > last {
			t.Fatalf("it grows from %v to %v", last, got)
		}
		last = got
	}
	if got := life.faded(forgotten << life); got != 0 {
		t.Errorf("%v is left of what is forgotten", got)
	}
	if got := life.halved(1 << 62); got < 0 || got > 1e-300 {
		t.Errorf("%v is left for ever", got)
	}
}
