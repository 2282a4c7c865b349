package limit_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/gabion-go/gabion/transport/limit"
)

func ExampleBulkhead() {
	b := limit.NewBulkhead(2)
	for range 3 {
		fmt.Println(b.TryAcquire())
	}
	b.Release()
	fmt.Println(b.TryAcquire())
	// Output:
	// true
	// true
	// false
	// true
}

func ExampleAdaptive() {
	a, err := limit.NewAdaptive(limit.Settings{Min: 1, Max: 1, Queue: -1}) // one at a time, no queue
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	t, _ := a.Acquire(ctx, limit.Critical)
	_, err = a.Acquire(ctx, limit.Sheddable)
	fmt.Println(err)
	if shed, ok := errors.AsType[*limit.ShedError](err); ok {
		fmt.Println("come back after", shed.RetryAfter)
	}
	t.Release(limit.Succeeded)
	_, err = a.Acquire(ctx, limit.Sheddable)
	fmt.Println(err)
	// Output:
	// limit: request shed: queue_full
	// come back after 1s
	// <nil>
}

// Less critical calls leave room for the others.
func ExampleBulkhead_TryAcquireFor() {
	b := limit.NewBulkhead(4)
	for range 3 {
		fmt.Println(b.TryAcquireFor(limit.Sheddable))
	}
	fmt.Println(b.TryAcquireFor(limit.Critical))
	// Output:
	// true
	// true
	// false
	// true
}

func ExampleThrottle() {
	t, err := limit.NewThrottle(limit.ThrottlePolicy{On: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 20 {
		if t.Allow(nil) {
			t.Done(false) // the service was overloaded
		}
	}
	fmt.Println(t.Rejecting() > 0.5, errors.Is(t.Err(), limit.ErrThrottled))
	// Output:
	// true true
}

// While all places are taken clients take turns, however many requests of one
// of them came before.
func ExampleAdaptive_EnterFrom() {
	a, err := limit.NewAdaptive(limit.Settings{Min: 1, Max: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	held, _ := a.Acquire(context.Background(), limit.Critical)
	for _, client := range []string{"heavy", "heavy", "heavy", "light"} {
		_, _, _ = a.EnterFrom(limit.Critical, client, func(t limit.Ticket, _ error) {
			fmt.Println(client)
			t.Release(limit.Succeeded)
		})
	}
	held.Release(limit.Succeeded)
	// Output:
	// heavy
	// light
	// heavy
	// heavy
}
