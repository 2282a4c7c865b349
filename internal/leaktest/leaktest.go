// Package leaktest fails a test that leaves goroutines behind. It is for tests
// with real sockets; tests in a synctest bubble get the same from the bubble.
package leaktest

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience bounds how long goroutines that are on their way out may take.
const patience = 5 * time.Second

// Check remembers the goroutines that run now and, when the test and its
// cleanups registered later have ended, fails it if new ones are still there
// after 5 s. Call it first, so that it checks last. It must not be used in
// parallel tests, whose goroutines it cannot tell apart.
func Check(t testing.TB) {
	t.Helper()
	before := snapshot()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		deadline := time.Now().Add(patience)
		for {
			left := newSince(before)
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines left behind:\n\n%s", len(left), strings.Join(left, "\n\n"))
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// InBubbles counts the goroutines of synctest bubbles, the caller's among them.
// Called in a bubble by a test that is not parallel, it tells how many the bubble
// has: those outside, which earlier tests have left or timers start, come and go
// as they like.
func InBubbles() (n int) {
	for _, stack := range stacks() {
		head, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(head, "synctest bubble") {
			n++
		}
	}
	return n
}

// newSince returns the stacks of goroutines that are not in before.
func newSince(before map[string]bool) []string {
	var left []string
	for id, stack := range stacks() {
		if !before[id] && !ignored(stack) {
			left = append(left, stack)
		}
	}
	return left
}

func snapshot() map[string]bool {
	ids := map[string]bool{}
	for id := range stacks() {
		ids[id] = true
	}
	return ids
}

// stacks maps "goroutine 12" to that goroutine's stack.
func stacks() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := map[string]string{}
	for s := range strings.SplitSeq(string(buf), "\n\n") {
		id, _, _ := strings.Cut(s, " [")
		all[id] = s
	}
	return all
}

// ignored reports whether a goroutine belongs to the runtime or to the testing
// package and not to what is tested.
func ignored(stack string) bool {
	for _, s := range []string{
		"testing.(*T).Run(", "testing.tRunner.func", "testing.runTests(",
		"os/signal.signal_recv", "os/signal.loop", "runtime.ensureSigM",
		"runtime/trace.", "runtime.ReadTrace", "created by runtime",
	} {
		if strings.Contains(stack, s) {
			return true
		}
	}
	return false
}
