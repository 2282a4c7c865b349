package storefront

import (
	"errors"
	"net/http"
)

// notices says in words what a page does without.
func notices(missing []string, fresh Freshness) (out []string) {
	for _, m := range missing {
		switch m {
		case catalogName:
			if fresh.Stale {
				out = append(out, "This is our list of products as of "+fresh.AsOf.UTC().Format("15:04 UTC")+". We are catching up.")
			}
		case pricingName:
			out = append(out, "Prices cannot be confirmed right now. You see the last ones we know; orders wait until they are confirmed.")
		case inventoryName:
			out = append(out, "We cannot see our stock right now, so availability is unknown.")
		case cartName:
			out = append(out, "Your cart cannot be reached right now. What is in it is safe.")
		}
	}
	return out
}

// reason says in words why a change or an order was not made.
func (s *Shop) reason(err error) string {
	e, refused := errors.AsType[*RefusedError](err)
	switch {
	case !refused:
		return problem(err).Detail
	case e.Type == "/problems/pricing-unavailable":
		return "Prices cannot be confirmed right now, so nothing was ordered. Please try again in a moment."
	case e.Status == http.StatusServiceUnavailable:
		return "The order could not be confirmed. Please press the button again in a moment: nothing is ordered twice."
	}
	id, _ := e.Extra["product"].(string)
	if r, ok := s.products.get(id); ok {
		return r.value.Name + ": " + e.Detail
	}
	return e.Detail
}
