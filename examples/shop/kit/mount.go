package kit

import (
	"net/http"

	"github.com/gabion-go/gabion"
)

// FaultPath is where the admin listener of every service of the shop has its
// switch of [Faults].
const FaultPath = "/shop/fault"

// Mount serves routes, handlers by [http.ServeMux] pattern, behind a new
// [Faults], and its switch on the admin listener at [FaultPath]. Health checks
// are not behind it: a service that fails its callers still says that it is well,
// as many do.
func Mount(s *gabion.Service, routes map[string]http.HandlerFunc) {
	faults := new(Faults)
	for pattern, h := range routes {
		s.Handle(pattern, faults.Wrap(h))
	}
	s.HandleAdmin(FaultPath, faults)
}
