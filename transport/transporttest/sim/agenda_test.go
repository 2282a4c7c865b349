package sim

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type nobody struct{}

func (nobody) happen(*event) {}

// The agenda gives back what a sorted list would, whatever was planned, moved
// and cancelled.
func TestAgenda(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type planned struct {
			at    time.Duration
			order int
			e     *event
		}
		var a agenda
		var want []planned
		events := make([]event, 20)
		for order := range rapid.IntRange(0, 200).Draw(t, "steps") {
			e := &events[rapid.IntRange(0, len(events)-1).Draw(t, "event")]
			at := time.Duration(rapid.IntRange(0, 30).Draw(t, "at"))
			has := func(p planned) bool { return p.e == e }
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				a.cancel(e)
				want = slices.DeleteFunc(want, has)
			case 1:
				if len(want) == 0 {
					continue
				}
				first := slices.MinFunc(want, func(p, q planned) int {
					if p.at != q.at {
						return int(p.at - q.at)
					}
					return p.order - q.order
				})
				gotAt, got := a.next()
				if gotAt != first.at || got != first.e {
					t.Fatalf("got an event at %v, want one at %v", gotAt, first.at)
				}
				want = slices.DeleteFunc(want, func(p planned) bool { return p.e == got })
			default:
				a.plan(e, at, nobody{})
				want = append(slices.DeleteFunc(want, has), planned{at, order, e})
			}
			if len(a.heap) != len(want) {
				t.Fatalf("%d planned, want %d", len(a.heap), len(want))
			}
		}
	})
}
