package breaker_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/gabion-go/gabion/breaker"
)

// refused is a call to a dependency that is down.
func refused(context.Context) (int, error) { return 0, errors.New("connection refused") }

func ExampleNew() {
	b, err := breaker.New("stock", breaker.WithSettings(breaker.Settings{Consecutive: 3}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.Name(), b.State())
	// Output:
	// stock closed
}

func ExampleDo() {
	b, _ := breaker.New("stock", breaker.WithSettings(breaker.Settings{Consecutive: 1}))
	for range 2 {
		_, err := breaker.Do(context.Background(), b, refused)
		fmt.Println(err, errors.Is(err, breaker.ErrOpen))
	}
	// Output:
	// connection refused false
	// breaker "stock": circuit open true
}

func ExampleBreaker_Allow() {
	b, _ := breaker.New("stock")
	ctx := context.Background()
	permit, err := b.Allow(ctx)
	if err != nil {
		fmt.Println(err) // a *RejectedError
		return
	}
	_, err = refused(ctx)
	fmt.Println(permit.Done(err), permit.Done(err))
	fmt.Println(b.Counts().Failures)
	// Output:
	// true false
	// 1
}

func ExampleBreaker_Subscribe() {
	b, _ := breaker.New("stock", breaker.WithSettings(breaker.Settings{Consecutive: 1}))
	cancel := b.Subscribe(func(e breaker.Event) {
		fmt.Println(e.Name, e.From, "->", e.To, "after", e.Counts.Failures, "failure")
	})
	defer cancel()
	_, _ = breaker.Do(context.Background(), b, refused)
	// Output:
	// stock closed -> open after 1 failure
}

func ExampleFallback() {
	b, _ := breaker.New("pricing", breaker.WithSettings(breaker.Settings{Consecutive: 1}))
	lastKnown, _ := breaker.NewFallback(func(_ context.Context, cause error) (int, error) {
		fmt.Println("because:", cause)
		return 42, nil
	})
	for range 2 {
		price, err := lastKnown.Do(context.Background(), b, refused)
		fmt.Println(price, err)
	}
	fmt.Println("used", lastKnown.Counts().Used)
	// Output:
	// because: connection refused
	// 42 <nil>
	// because: breaker "pricing": circuit open
	// 42 <nil>
	// used 2
}

func ExampleGroup() {
	g, _ := breaker.NewGroup(breaker.WithBreakers(breaker.WithSettings(breaker.Settings{Consecutive: 1})))
	ctx := context.Background()
	_, _ = breaker.Do(ctx, g.Get("10.0.0.7:9001"), refused)
	fmt.Println(g.Get("10.0.0.7:9001").State(), g.Get("10.0.0.8:9001").State(), g.Len())
	// Output:
	// open closed 2
}

func ExampleBreaker_Force() {
	b, _ := breaker.New("stock")
	b.Force(breaker.ModeOpen)
	_, err := breaker.Do(context.Background(), b, refused)
	fmt.Println(err)
	b.Force(breaker.ModeAuto)
	fmt.Println(b.State())
	// Output:
	// breaker "stock": circuit open
	// closed
}

func ExampleBreaker_Update() {
	b, _ := breaker.New("stock")
	if err := b.Update(breaker.Settings{Consecutive: 1, Probes: -1}); err != nil {
		fmt.Println(err)
	}
	_ = b.Update(breaker.Settings{Consecutive: 1})
	_, _ = breaker.Do(context.Background(), b, refused)
	fmt.Println(b.State())
	// Output:
	// breaker: probes is -1, want 1 to 1000
	// open
}
