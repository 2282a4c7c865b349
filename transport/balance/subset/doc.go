// Package subset gives each client of a large service a few of its backends to
// keep connections to. Where every client connects to every backend, C clients
// and B backends hold C*B connections, most of them idle; with k each they hold
// C*k.
//
//	c := subset.Among("cart", "cart-7", ids) // this client's place among its own kind
//	for _, i := range subset.Choose(keys, 20, c) {
//		connect(keys[i])
//	}
//
// [Choose] keeps no state. What a client gets follows from the set of backends
// and its own place, so clients agree without talking to each other, and a
// client that restarts in its old place gets its old backends.
//
// # Clients that know their place
//
// The backends lie on a circle in the order of a hash of their keys. Client i of
// C takes the k in a row that begin at
//
//	floor(turn + i*B/C)
//
// Balance. Any k neighboring places of the circle hold floor or ceil of C*k/B of
// these beginnings, whatever turn is: that many clients use each backend, and no
// two backends differ by more than 1. Backends may have no client at all where
// C*k < B.
//
// Churn. When a backend leaves, each client changes at most one of its backends,
// also one that did not use it; when m leave, at most m. Backends that come are
// the same backwards. For this, turn must follow the backends: with beginnings
// counted from a fixed point, clients whose backends lie on both sides of that
// point can change two. It is the turn that brings the backends' places, on
// average, to where their hashes h (as a part of the circle, 0 to 1) are, seen
// from the middle of a client's k:
//
//	turn = sum(1/2 - h) - (k-1)/2
//
// With p for the place of a backend, 0 to B-1, let its shift be p + 1/2 - h*B,
// less the mean shift of all. While the shifts are at most (B-k)/2, a backend
// that leaves moves each beginning by less than a place in the direction that
// its client can bear, and the bound holds. Shifts grow with the root of B only
// (sqrt(B/12), typically), so the bound holds but for chance; the odds against
// it are about exp(-3*(B-k)*(B-k)/(2*B)) for one list, less than 1e-11 for 20 of
// 50, and better by far the more backends there are. They are poor for a dozen
// backends, or where k is nearly B: there a client can change two at once.
// Balance holds there as everywhere.
//
// Clients next to each other share nearly all backends. That is the price of the
// churn: any k that are not in a row lose more than one when places shift. So
// [Among] orders clients by a hash too, for clients that are busy together, such
// as those of one rack, often have names that are next to each other. When a
// client comes or goes, every other changes at most ceil(B/C) backends, with C
// counting it, and most change fewer.
//
// While clients disagree on who they are, each is as far from its place as its
// list is wrong: one client more or less moves it by ceil(B/C) at most. So it
// harms little to be late, and a caller should be: keep the [Client] until the
// list has been the same for some time, 30 s say, or another ten times as long
// has passed, so that a deployment of the clients does not move connections at
// each step. Nothing of the kind is needed for backends.
//
// # Clients that know their name only
//
// A client without a place, [Client.Count] 0, takes the k backends with the
// smallest hashes of its ID and theirs: rendezvous hashing. It changes one
// backend if one of its own leaves, and otherwise none, always; but how many
// clients a backend gets is left to chance, as with k drawn at random: with 300
// clients that take 10 of 300, from about 3 to 20.
//
// # What does not count
//
// Weights, zones and health: a subset is who is connected to, and the balancer
// chooses inside it. k should be large enough for that, 20 say.
//
// The hashes are a contract: they are the same on every machine and in every
// version of this package, since clients of different versions share backends.
//
// # Sources
//
// Deterministic subsetting, Beyer et al., "Site Reliability Engineering", 2016,
// chapter 20, deals shuffled lists: as even, but when the number of backends
// changes nearly every connection does. Deterministic aperture of Twitter's
// Finagle lays clients and servers on rings and gives the servers at both ends of
// an arc fractional weights: a client's share is exact where ours is to 1, but
// the ring starts at a fixed point. Random subsetting of gRPC, proposal A68, is
// rendezvous hashing with a seed for each client: as here for clients that know
// their name only. Rendezvous hashing: Thaler and Ravishankar, "Using Name-Based
// Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking 6(1), 1998.
package subset
