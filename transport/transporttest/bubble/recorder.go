package bubble

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// recorder is a testing.TB that keeps what a test would print. What it does not
// have itself is the bubble's test.
type recorder struct {
	testing.TB
	name string

	mu       sync.Mutex
	log      strings.Builder
	failed   bool
	skipped  bool
	ended    bool // FailNow or SkipNow was called
	panic    any
	stack    []byte
	cleanups []func()
	ctx      context.Context
	stop     context.CancelFunc
}

func (r *recorder) Name() string { return r.name }
func (r *recorder) Helper()      {}

func (r *recorder) Log(args ...any)                 { r.add(fmt.Sprintln(args...)) }
func (r *recorder) Logf(format string, args ...any) { r.add(fmt.Sprintf(format, args...)) }

func (r *recorder) Error(args ...any) {
	r.Log(args...)
	r.Fail()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.Fail()
}

func (r *recorder) Fatal(args ...any) {
	r.Log(args...)
	r.FailNow()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Logf(format, args...)
	r.FailNow()
}

func (r *recorder) Skip(args ...any) {
	r.Log(args...)
	r.SkipNow()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.Logf(format, args...)
	r.SkipNow()
}

func (r *recorder) Fail() { r.set(&r.failed) }

func (r *recorder) FailNow() {
	r.set(&r.failed)
	r.set(&r.ended)
	runtime.Goexit()
}

func (r *recorder) SkipNow() {
	r.set(&r.skipped)
	r.set(&r.ended)
	runtime.Goexit()
}

func (r *recorder) Failed() bool  { return r.is(&r.failed) }
func (r *recorder) Skipped() bool { return r.is(&r.skipped) }
func (r *recorder) ending() bool  { return r.is(&r.ended) }

func (r *recorder) set(flag *bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*flag = true
}

func (r *recorder) is(flag *bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *flag
}

func (r *recorder) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.WriteString(strings.TrimSuffix(text, "\n") + "\n")
}

// Cleanup calls f in the bubble, after the function under test, the last
// first.
func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) nextCleanup() func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.cleanups)
	if n == 0 {
		return nil
	}
	f := r.cleanups[n-1]
	r.cleanups = r.cleanups[:n-1]
	return f
}

// Context ends before the cleanups begin.
func (r *recorder) Context() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil {
		r.ctx, r.stop = context.WithCancel(context.Background())
	}
	return r.ctx
}

func (r *recorder) cancel() {
	_ = r.Context()
	r.stop()
}
