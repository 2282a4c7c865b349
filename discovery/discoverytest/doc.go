// Package discoverytest is the conformance suite that every discovery backend
// passes. A backend's test calls [Run] with a function that opens the backend:
//
//	func TestConformance(t *testing.T) {
//		discoverytest.Run(t, func(t *testing.T) discoverytest.Harness {
//			backend, err := static.New(nil)
//			if err != nil {
//				t.Fatal(err)
//			}
//			return discoverytest.Harness{Backend: backend, Set: backend.Set}
//		})
//	}
//
// The suite uses real time: it polls for what must come true and gives up
// after [Harness.Patience]. It also fails a backend that leaves goroutines
// behind, so what the open function starts must be stopped by t.Cleanup.
package discoverytest
