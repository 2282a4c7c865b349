package retry_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/retry"
)

func TestSameSeedSameWaits(t *testing.T) {
	waits := func(seed uint64) (all []time.Duration) {
		src := random.New(seed)
		for i := range 100 {
			all = append(all, retry.Policy{}.BackoffFrom(i%5, src), retry.JitterUpFrom(time.Second, src))
		}
		return all
	}
	if one, again := waits(1), waits(1); !slices.Equal(one, again) {
		t.Errorf("the same seed gave\n%v, then\n%v", one, again)
	}
	if slices.Equal(waits(1), waits(2)) {
		t.Error("another seed gave the same")
	}
}
