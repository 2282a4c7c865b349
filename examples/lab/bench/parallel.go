package bench

import (
	"context"
	"runtime"
	"sync"
)

// Each calls f for every item, as many at once as there are processors, and
// returns the results in the order of the items. After an error, the one of the
// first item that failed is returned and no further items are begun. f must end
// soon after its ctx does.
func Each[T, R any](ctx context.Context, items []T, f func(ctx context.Context, item T) (R, error)) ([]R, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]R, len(items))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(items)) {
		wg.Go(func() {
			for i := range next {
				r, err := f(ctx, items[i])
				if err != nil {
					cancel(err) // the first one stands
				}
				results[i] = r
			}
		})
	}
	for i := 0; i < len(items) && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return results, nil
}
