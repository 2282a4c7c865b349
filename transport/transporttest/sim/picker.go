package sim

import "github.com/gabion-go/gabion/transport/balance"

// A Picker chooses the server of each attempt in place of a [balance.Balancer],
// so that policies which are not built, or could not be, are compared with
// those that are. Servers are numbered from 0 in the order of Config. It
// belongs to one client and is called by one goroutine at a time.
type Picker interface {
	// Update makes servers, in ascending order, those to choose from. The
	// slice is shared: it must not be changed.
	Update(servers []int)
	// Pick returns the server of an attempt. tried are those that the call was
	// sent to before. A negative number says that there is none.
	Pick(tried []int) int
	// Done tells how the attempt that began with Pick has ended.
	Done(server int, r balance.Result)
}

// View is what a [Picker] may see of a service beyond what calls teach. That
// it sees the very moment makes it an oracle.
type View struct{ service *service }

// Len returns how many servers there are, in the list or not.
func (v View) Len() int { return len(v.service.servers) }

// InFlight returns how many requests the server has, waiting ones included.
func (v View) InFlight(server int) int { return len(v.service.servers[server].jobs) }

// Weight returns the server's weight.
func (v View) Weight(server int) int { return max(1, v.service.servers[server].kind.Weight) }
