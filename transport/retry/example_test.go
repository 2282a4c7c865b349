package retry_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/gabion-go/gabion/transport/retry"
)

func ExampleBudget() {
	b, err := retry.NewBudget(retry.BudgetPolicy{Cap: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 { // the service is down
		fmt.Println("retry:", b.Take(retry.CostRetry))
	}
	for range 10 { // it is back
		b.Success()
	}
	fmt.Println("retry:", b.Take(retry.CostRetry))
	// Output:
	// retry: true
	// retry: true
	// retry: false
	// retry: true
}

func ExampleParseRetryAfter() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, h := range []string{"2", "Sun, 01 Mar 2026 12:00:10 GMT", "3600", "soon"} {
		fmt.Println(retry.ParseRetryAfter(h, now))
	}
	// Output:
	// 2s true
	// 10s true
	// 30s true
	// 0s false
}

func ExampleIdempotent() {
	fmt.Println(retry.Idempotent(http.MethodPut, nil))
	fmt.Println(retry.Idempotent(http.MethodPost, nil))
	fmt.Println(retry.Idempotent(http.MethodPost, http.Header{retry.IdempotencyKey: {"order-17"}}))
	// Output:
	// true
	// false
	// true
}

// When is a call late? Once it takes longer than nearly all of the recent ones.
func ExampleHedger() {
	h, err := retry.NewHedger(retry.Hedge{On: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 1000 { // calls of 1 to 100 ms
		h.Began()
		h.Record(time.Duration(i%100+1) * time.Millisecond)
	}
	late, known := h.Delays()
	fmt.Println(known, late.First.Round(10*time.Millisecond))
	fmt.Println("may hedge:", h.Take(false))
	// Output:
	// true 100ms
	// may hedge: true
}
