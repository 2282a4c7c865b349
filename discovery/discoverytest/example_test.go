package discoverytest_test

import (
	"testing"

	"github.com/gabion-go/gabion/discovery/discoverytest"
	"github.com/gabion-go/gabion/discovery/static"
)

// A backend's test is one function; go test runs each case as a subtest.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestConformance
		discoverytest.Run(t, func(t *testing.T) discoverytest.Harness {
			backend, err := static.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			return discoverytest.Harness{Backend: backend, Set: backend.Set}
		})
	}
}
