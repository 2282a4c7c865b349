package subset_test

import (
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/balance/subset"
)

func TestSteady(t *testing.T) {
	type step struct {
		wait        time.Duration // before
		seen, want  int           // the Count of the place, 0 for none
		again       time.Duration
		description string
	}
	for name, steps := range map[string][]step{
		"no place until the first has lasted": {
			{0, 1, 0, 30 * time.Second, "first of all"},
			{5 * time.Second, 7, 0, 30 * time.Second, "more have started"},
			{20 * time.Second, 7, 0, 10 * time.Second, "nearly"},
			{10 * time.Second, 7, 7, 0, "it has lasted"},
		},
		"another place must last too": {
			{0, 7, 0, 30 * time.Second, "first"},
			{30 * time.Second, 7, 7, 0, "settled"},
			{time.Hour, 6, 7, 30 * time.Second, "one fewer"},
			{29 * time.Second, 6, 7, time.Second, "nearly"},
			{time.Second, 6, 6, 0, "settled again"},
		},
		"back again is as if nothing had been": {
			{0, 7, 0, 30 * time.Second, "first"},
			{30 * time.Second, 7, 7, 0, "settled"},
			{time.Second, 6, 7, 30 * time.Second, "gone"},
			{29 * time.Second, 7, 7, 0, "back"},
			{29 * time.Second, 6, 7, 30 * time.Second, "gone again"},
			{29 * time.Second, 7, 7, 0, "back again"},
			{time.Hour, 6, 7, 30 * time.Second, "gone much later"},
			{30 * time.Second, 6, 6, 0, "for good"},
			{time.Hour, 7, 6, 30 * time.Second, "another"},
		},
		"the registry loses the client": {
			{0, 7, 0, 30 * time.Second, "first"},
			{30 * time.Second, 7, 7, 0, "settled"},
			{time.Second, 0, 7, 30 * time.Second, "lost"},
			{30 * time.Second, 0, 0, 0, "for good"},
		},
		"a list that never rests is followed at times": {
			{0, 7, 0, 30 * time.Second, "first"},
			{30 * time.Second, 7, 7, 0, "settled"},
			{0, 1, 7, 30 * time.Second, "0 s"},
			{28 * time.Second, 2, 7, 30 * time.Second, "28 s"},
			{29 * time.Second, 3, 7, 30 * time.Second, "57 s"},
			{29 * time.Second, 4, 7, 30 * time.Second, "86 s"},
			{29 * time.Second, 5, 7, 30 * time.Second, "115 s"},
			{29 * time.Second, 6, 7, 30 * time.Second, "144 s"},
			{29 * time.Second, 8, 7, 30 * time.Second, "173 s"},
			{29 * time.Second, 9, 7, 30 * time.Second, "202 s"},
			{29 * time.Second, 10, 7, 30 * time.Second, "231 s"},
			{29 * time.Second, 11, 7, 30 * time.Second, "260 s"},
			{29 * time.Second, 12, 7, 11 * time.Second, "289 s"},
			{11 * time.Second, 13, 13, 0, "300 s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s subset.Steady
			now := time.Unix(1_700_000_000, 0)
			for i, step := range steps {
				now = now.Add(step.wait)
				got, again := s.Observe(now, subset.Client{Group: "cart", ID: "a", Count: step.seen})
				want := subset.Client{Group: "cart", ID: "a", Count: step.want}
				if got != want || again != step.again {
					t.Fatalf("step %d, %s: %+v again in %v, want %+v in %v", i, step.description, got, again, want, step.again)
				}
			}
		})
	}
}

func TestSteadyHold(t *testing.T) {
	s := subset.Steady{Hold: time.Minute}
	if _, again := s.Observe(time.Unix(0, 0), subset.Client{Count: 3}); again != time.Minute {
		t.Errorf("again in %v, want 1m", again)
	}
}
