package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/gabion-go/gabion/breaker"
)

// The benchmarks set gabion beside bare gobreaker with the same window.

func bare() gobreaker.Settings {
	return gobreaker.Settings{Interval: 10 * time.Second, BucketPeriod: time.Second, Timeout: time.Hour}
}

func ok(context.Context) (int, error) { return 1, nil }

func bareOK() (int, error) { return 1, nil }

var errDown = errors.New("down")

func BenchmarkClosed(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		cb := gobreaker.NewCircuitBreaker[int](bare())
		b.ReportAllocs()
		for b.Loop() {
			_, _ = cb.Execute(bareOK)
		}
	})
	b.Run("gabion", func(b *testing.B) {
		br := mustNew(b)
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			_, _ = breaker.Do(ctx, br, ok)
		}
	})
}

func BenchmarkClosedParallel(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		cb := gobreaker.NewCircuitBreaker[int](bare())
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = cb.Execute(bareOK)
			}
		})
	})
	b.Run("gabion", func(b *testing.B) {
		br := mustNew(b)
		ctx := context.Background()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = breaker.Do(ctx, br, ok)
			}
		})
	})
}

func BenchmarkPermit(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		cb := gobreaker.NewTwoStepCircuitBreaker[int](bare())
		b.ReportAllocs()
		for b.Loop() {
			done, _ := cb.Allow()
			done(nil)
		}
	})
	b.Run("gabion", func(b *testing.B) {
		br := mustNew(b)
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			p, _ := br.Allow(ctx)
			p.Done(nil)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		s := bare()
		s.ReadyToTrip = func(gobreaker.Counts) bool { return true }
		cb := gobreaker.NewCircuitBreaker[int](s)
		_, _ = cb.Execute(func() (int, error) { return 0, errDown })
		b.ReportAllocs()
		for b.Loop() {
			_, _ = cb.Execute(bareOK)
		}
	})
	b.Run("gabion", func(b *testing.B) {
		br := mustNew(b, breaker.WithSettings(breaker.Settings{Consecutive: 1, OpenFor: time.Hour}))
		ctx := context.Background()
		_, _ = breaker.Do(ctx, br, func(context.Context) (int, error) { return 0, errDown })
		b.ReportAllocs()
		for b.Loop() {
			_, _ = breaker.Do(ctx, br, ok)
		}
	})
}

func mustNew(tb testing.TB, opts ...breaker.Option) *breaker.Breaker {
	tb.Helper()
	b, err := breaker.New("stock", opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
