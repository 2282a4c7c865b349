package bubble_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/bubble"
)

func Example() {
	err := bubble.Run("patience", func(tb testing.TB) {
		start := time.Now()
		time.Sleep(24 * time.Hour)
		if d := time.Since(start); d > time.Hour {
			tb.Fatalf("took %v", d)
		}
	})
	fmt.Println(err)
	// Output: bubble: patience: took 24h0m0s
}
