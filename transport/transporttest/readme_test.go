package transporttest_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

func TestCartOutlivesPricing(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("pricing", 3, newPricing)
		n.Serve("cart", 2, newCart) // asks pricing by its name
		n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "pricing", At: 10 * time.Second, For: 20 * time.Second})

		r := n.Run(load.Load{Client: "web", Service: "cart", Rate: 50, For: time.Minute})

		if got, want := r.Success, 1.0; got < want {
			t.Errorf("success %v, want %v", got, want)
		}
		if got, want := r.P999, 500*time.Millisecond; got > want {
			t.Errorf("99.9 %% answered within %v, want %v", got, want)
		}
	})
}

// The test on README's second screen is the one above.
func TestReadmeShowsThisTest(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\n")
	_, block, _ := strings.Cut(rest, "```go\n")
	block, _, found := strings.Cut(block, "```")
	if !found || !strings.Contains(string(program), block) {
		t.Errorf("README shows\n%s\nwhich is not in readme_test.go", block)
	}
}
