package storefront

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory[int](3)
		for i, key := range []string{"a", "b", "c", "a", "d"} { // a is refreshed, so b goes
			m.put(key, i, time.Now())
			time.Sleep(time.Second)
		}
		got := ""
		for _, key := range []string{"a", "b", "c", "d"} {
			if r, ok := m.get(key); ok {
				got += fmt.Sprintf("%s=%d ", key, r.value)
			}
		}
		if got != "a=3 c=2 d=4 " || len(m.known) != 3 {
			t.Errorf("got %q of %d", got, len(m.known))
		}
		m.forget("a")
		if _, ok := m.get("a"); ok {
			t.Error("forgotten and still known")
		}
	})
}
