package transport_test

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport"
)

// walk returns who gets each of 100 calls and when, with retries among them,
// while another service gets the given number of calls in between.
func walk(t *testing.T, seed uint64, others int) []string {
	t.Helper()
	var got []string
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		began := time.Now()
		for _, a := range []string{"a:1", "b:1", "c:1", "d:1"} {
			f.start("pricing", a, func(w http.ResponseWriter, _ *http.Request) {
				got = append(got, a+" "+time.Since(began).String())
				if len(got)%20 == 0 {
					w.WriteHeader(503)
				}
			})
			f.start("stock", "stock-"+a, answer(200))
		}
		c := f.client(transport.WithRand(random.New(seed)))
		for range 100 {
			if status, _, err := get(t.Context(), c, "http://pricing/"); err != nil || status != 200 {
				t.Fatalf("got %d %v", status, err)
			}
			for range others {
				if status, _, err := get(t.Context(), c, "http://stock/"); err != nil || status != 200 {
					t.Fatalf("got %d %v", status, err)
				}
			}
		}
	})
	return got
}

func TestSameSeedSameWalk(t *testing.T) {
	one := walk(t, 1, 0)
	if again := walk(t, 1, 0); !slices.Equal(one, again) {
		t.Errorf("the same seed gave\n%v, then\n%v", one, again)
	}
	if beside := walk(t, 1, 2); !slices.Equal(one, beside) {
		t.Errorf("calls to another service changed\n%v to\n%v", one, beside)
	}
	if slices.Equal(one, walk(t, 2, 0)) {
		t.Error("another seed gave the same")
	}
}
