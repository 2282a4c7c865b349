package leaktest_test

import (
	"testing"
	"testing/synctest"

	"github.com/gabion-go/gabion/internal/leaktest"
)

// recorder is a testing.TB that keeps its failures and cleanups to itself.
type recorder struct {
	testing.TB
	cleanups []func()
	failed   bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Failed() bool          { return r.failed }
func (r *recorder) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestCheck(t *testing.T) {
	for name, leave := range map[string]bool{"leaves one": true, "leaves none": false} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			leaktest.Check(r)
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() { <-stop; close(done) }()
			if !leave {
				close(stop)
				<-done
			}
			for _, f := range r.cleanups {
				f()
			}
			if r.failed != leave {
				t.Errorf("failed %v, want %v", r.failed, leave)
			}
			if leave {
				close(stop)
			}
		})
	}
}

func TestInBubbles(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	go func() { <-stop }() // outside
	synctest.Test(t, func(t *testing.T) {
		inner := make(chan struct{})
		before := leaktest.InBubbles()
		go func() { <-inner }()
		if n := leaktest.InBubbles(); n != before+1 {
			t.Errorf("%d goroutines after one more, %d before", n, before)
		}
		close(inner)
		synctest.Wait()
		if n := leaktest.InBubbles(); n != before {
			t.Errorf("%d goroutines, %d before", n, before)
		}
	})
	if n := leaktest.InBubbles(); n != 0 {
		t.Errorf("%d goroutines in bubbles outside of which this is", n)
	}
}
