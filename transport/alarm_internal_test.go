package transport

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// alarmed returns an attempt on which an alarm can ring, and what tells when it
// has.
func alarmed() (*attempt, context.Context) {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &attempt{cancel: cancel}, ctx
}

// An alarm rings when the time of its attempt is up, whatever time its timer was
// set for before.
func TestAlarmTimes(t *testing.T) {
	for name, after := range map[string][]time.Duration{
		"later":          {time.Second, 3 * time.Second},
		"earlier":        {3 * time.Second, time.Second},
		"later, earlier": {2 * time.Second, 3 * time.Second, time.Second},
		"never mind":     {time.Hour, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var as alarms
				for _, d := range after[:len(after)-1] {
					a, ctx := alarmed()
					al := as.take(a, time.Now().Add(d))
					time.Sleep(100 * time.Millisecond)
					if !al.stop() {
						t.Fatal("it has rung before its time")
					}
					as.give(al, time.Now())
					defer func() {
						if ctx.Err() != nil {
							t.Error("it has rung for an attempt that was over")
						}
					}()
				}
				last := after[len(after)-1]
				a, ctx := alarmed()
				start := time.Now()
				al := as.take(a, start.Add(last))
				<-ctx.Done()
				if took := time.Since(start); took != last || !errors.Is(context.Cause(ctx), ErrAttemptTimeout) {
					t.Errorf("it rang after %v, saying %v, want after %v", took, context.Cause(ctx), last)
				}
				if al.stop() {
					t.Error("stop says that it came before the alarm rang")
				}
				as.give(al, time.Now())
				time.Sleep(time.Hour) // whatever is still set
			})
		})
	}
}

// What is set again for the same attempt rings once, at the later time.
func TestAlarmSetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var as alarms
		a, ctx := alarmed()
		start := time.Now()
		al := as.take(a, start.Add(time.Second))
		time.Sleep(time.Second - 1)
		if !al.stop() {
			t.Fatal("it has rung before its time")
		}
		time.Sleep(time.Second) // stopped: the timer fires, and nothing comes of it
		al.set(a, start.Add(4*time.Second))
		<-ctx.Done()
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("it rang after %v", took)
		}
	})
}

// An alarm that nobody uses holds nothing, and its timer does not stay set for
// long.
func TestAlarmAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, d := range []time.Duration{time.Second, time.Hour} {
			var as alarms
			a, _ := alarmed()
			al := as.take(a, time.Now().Add(d))
			as.give(al, time.Now())
			time.Sleep(alarmLinger)
			synctest.Wait()
			if al.attempt != nil || !al.fires.IsZero() {
				t.Errorf("after one of %v: attempt %v, timer set for %v", d, al.attempt, al.fires)
			}
		}
	})
}
