package transport

import (
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/clocktest"
)

// Rates are measured each second, whatever the wall clock does.
func TestRatesWhenTheClockSteps(t *testing.T) {
	for _, step := range []int{-3600, 3600} {
		var l loadReport
		start := time.Now()
		l.rates(start)
		for range 10 {
			l.record(time.Millisecond, true)
		}
		if r := l.rates(clocktest.Step(start.Add(time.Second-1), step)); r.qps != 0 {
			t.Errorf("step of %d s: measured again before a second had passed: %+v", step, r)
		}
		if r := l.rates(clocktest.Step(start.Add(2*time.Second), step)); r.qps != 5 || r.eps != 5 {
			t.Errorf("step of %d s: %v requests and %v errors a second, want 5 and 5", step, r.qps, r.eps)
		}
	}
}
