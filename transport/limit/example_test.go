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
