package transport

import "slices"

// A ShadowLimit is what would have refused a call, or a request, if its settings
// did not say that it only shadows.
type ShadowLimit string

// What can shadow.
const (
	// ShadowBreaker is the service's circuit breaker: see breaker.Settings.
	ShadowBreaker ShadowLimit = "breaker"
	// ShadowThrottle is the service's throttle: see limit.ThrottlePolicy.
	ShadowThrottle ShadowLimit = "throttle"
	// ShadowBulkhead is the service's bulkhead or the route's: see limit.Policy.
	ShadowBulkhead ShadowLimit = "bulkhead"
	// ShadowQueue is the full queue of a server: see limit.Settings.
	ShadowQueue ShadowLimit = "queue_full"
)

// shadowed notes that l would have refused the call.
func (k *call) shadowed(l ShadowLimit) {
	if !slices.Contains(k.info.Shadowed, l) {
		k.info.Shadowed = append(k.info.Shadowed, l)
	}
}
