package transport

import (
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whatever is remembered: it stays within its bounds, what it counts is what it
// holds, and what it gives is what was last put there.
func TestLastGoodBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lastGood
		latest := map[goodKey]int{}
		for i := range rapid.IntRange(1, 3000).Draw(t, "adds") {
			key := goodKey{byte(i % 256), byte(i / 256 % rapid.IntRange(1, 8).Draw(t, "keys"))}
			size := rapid.SampledFrom([]int{0, 10, 100_000}).Draw(t, "size")
			l.add(&good{key: key, at: time.Now(), status: i, header: http.Header{"A": {strconv.Itoa(i)}}, body: make([]byte, size)})
			latest[key] = i
			if l.bytes > lastGoodBytes || l.used.Len() > lastGoodEntries || len(l.known) != l.used.Len() {
				t.Fatalf("%d bytes in %d entries of %d keys", l.bytes, l.used.Len(), len(l.known))
			}
		}
		bytes := 0
		for e := l.used.Front(); e != nil; e = e.Next() {
			g := e.Value.(*good)
			bytes += g.size
			if g.status != latest[g.key] {
				t.Fatalf("remembered %d, want %d", g.status, latest[g.key])
			}
		}
		if bytes != l.bytes {
			t.Fatalf("%d bytes, counted %d", bytes, l.bytes)
		}
	})
}

func TestLastGoodForgetsWhatIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lastGood
		l.add(&good{at: time.Now(), age: 10 * time.Second})
		time.Sleep(50 * time.Second)
		if l.get(goodKey{}, time.Minute) == nil {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if l.get(goodKey{}, time.Minute) != nil || l.used.Len() != 0 || l.bytes != 0 {
			t.Errorf("%d entries of %d bytes left", l.used.Len(), l.bytes)
		}
	})
}
