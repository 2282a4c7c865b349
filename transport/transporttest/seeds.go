package transporttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gabion-go/gabion/transport/transporttest/bubble"
)

// ShrinkVariable is the environment variable that, set to 1, asks [Explore] and
// [Seeds] to look for the smallest part of what fails that fails too.
const ShrinkVariable = "GABION_SHRINK"

// Seeds runs f with the seeds 1 to count, each time with a network of its own in
// a bubble of its own, on all processors. faults makes the faults of a seed,
// for example with [RandomFaults], and f plans them with [Network.Fault] once
// everybody is there whom they fall upon. f fails tb, which is that of the
// bubble, when something is not as it should be.
//
// Each seed is a subtest, seed=17. After a failure no higher seeds are begun,
// so that the lowest that fails is always found. The log then has what f
// reported, the timeline and the command that runs this seed alone: GABION_SEED
// is set to it. With GABION_SHRINK=1, or [WithShrink], f is run again with
// fewer and shorter faults, and the smallest that still fail are printed.
//
// What fails need not be a report of f. A panic in f, and a bubble whose
// goroutines wait for each other for ever, are failures of their seed; a panic
// in another goroutine ends the whole process, as always; run with
// GODEBUG=tracebacklabels=1, its stack trace names the seed. Which seeds never
// end go test says when its -timeout is over.
func Seeds(t *testing.T, count int, faults func(seed uint64) []Fault, f func(tb testing.TB, n *Network, faults []Fault), opts ...RunOption) {
	t.Helper()
	cfg := newRunConfig(t, opts)
	name := t.Name()
	overSeeds(t, count, func(t *testing.T, seed uint64) {
		t.Helper()
		planned := faults(seed)
		fails := func(some []Fault) error {
			return inBubble(name, seed, func(tb testing.TB) {
				n := New(tb, append([]Option{WithSeed(seed)}, cfg.network...)...)
				f(tb, n, some)
			})
		}
		err := fails(planned)
		if !cfg.tell(t, name, seed, err) {
			return
		}
		s := newShrinker(t, err)
		least := s.faults(planned, fails)
		t.Logf("%s\n%s", s.summary(len(planned), len(least)), describe(least))
	})
}

const shrinkHint = "with " + ShrinkVariable + "=1 the smallest part of it that fails is looked for, too"

// tell fails the test of a seed if err is not nil, and reports whether the
// smallest part that fails is to be looked for.
func (c *runConfig) tell(t *testing.T, name string, seed uint64, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	t.Error(failure(name, seed, err))
	if !c.shrink {
		t.Log(shrinkHint)
	}
	return c.shrink
}

// overSeeds calls try with the seeds 1 to count, or the one that GABION_SEED
// says, each in a subtest.
func overSeeds(t *testing.T, count int, try func(t *testing.T, seed uint64)) {
	t.Helper()
	run := func(seed uint64) bool {
		return t.Run("seed="+strconv.FormatUint(seed, 10), func(t *testing.T) { try(t, seed) })
	}
	if os.Getenv(SeedVariable) != "" {
		run(seedFromEnv(t))
		return
	}
	if count < 1 {
		t.Fatalf("transporttest: %d seeds: want at least one", count)
	}
	var begun, end atomic.Uint64 // the highest seed that was begun, and what no seed is above
	end.Store(uint64(count))
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), count) {
		wg.Go(func() {
			for {
				seed := begun.Add(1)
				if seed > end.Load() {
					return
				}
				if !run(seed) {
					failed.Store(true)
					lower(&end, seed)
				}
			}
		})
	}
	wg.Wait()
	if failed.Load() {
		t.Logf("seed %d fails, and none below it", end.Load())
	}
}

// lower makes v at most to.
func lower(v *atomic.Uint64, to uint64) {
	for {
		old := v.Load()
		if old <= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}

// inBubble runs f in a bubble. All its goroutines carry the seed as a label.
func inBubble(name string, seed uint64, f func(testing.TB)) (err error) {
	pprof.Do(context.Background(), labels(name, seed), func(context.Context) { err = bubble.Run(name, f) })
	return err
}

// failure tells all about a run that failed.
func failure(name string, seed uint64, err error) string {
	var b strings.Builder
	again := replay(name, seed)
	e, ok := errors.AsType[*bubble.Error](err)
	if !ok {
		return fmt.Sprintf("%v\nseed %d; again: %s", err, seed, again)
	}
	switch {
	case isDeadlock(e):
		fmt.Fprintf(&b, "%v; of its goroutines are\n%s", e.Panic, stuck(name, seed))
	case e.Panic != nil:
		fmt.Fprintf(&b, "panic: %v\n%s\n", e.Panic, e.Stack)
	}
	b.WriteString(e.Log)
	if !strings.Contains(e.Log, again) {
		fmt.Fprintf(&b, "seed %d; again: %s\n", seed, again)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// replay is the command that runs the test of this name with this seed alone.
func replay(name string, seed uint64) string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
	}
	return strings.TrimSuffix(fmt.Sprintf("%s=%d go test -run '%s' %s", SeedVariable, seed, strings.Join(parts, "/"), testedPackage()), " ")
}

// testedPackage returns the import path of the package under test, or "" where
// there is none.
func testedPackage() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	path, ok := strings.CutSuffix(info.Path, ".test")
	if !ok {
		return ""
	}
	return path
}
