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
// Balance. Any k neighboring places hold floor or ceil of C*k/B of these
// beginnings, whatever turn is: that many clients use each backend, and no two
// backends differ by more than 1. Where C*k < B, some have no client.
//
// Churn. When a backend leaves, each client changes at most one of its own; when
// m leave, at most m. Backends that come are the same backwards. For this, turn
// must follow the backends, or clients whose k lie on both sides of the point
// where places are counted from could change two. It is the turn that brings the
// places, on average, to where the hashes h (as parts of the circle, 0 to 1) are,
// seen from the middle of a client's k:
//
//	turn = sum(1/2 - h) - (k-1)/2
//
// Let the shift of the backend in place p, 0 to B-1, be p + 1/2 - h*B, less the
// mean of that over all. If it leaves, and is d places after the point where a
// client's k begin before rounding, that point moves, as seen from the backends
// that stay, by
//
//	d/B - 1/2 - (k-2)/(2B) - shift/B
//
// places. A shift of (B-k)/2 at most makes this -1 to 0 for clients that use the
// backend, -1 < d <= k-1, who can bear to have their k begin one earlier: one that
// is left takes the place of the one that is gone. Clients that do not use it can
// bear -1 to 1, which it is whatever the shift.
//
// Shifts are random walks that are tied to their mean, typically of sqrt(B/12)
// places: one beyond (B-k)/2 is a matter of bad luck, in about one of
// exp(1.5*(B-k)*(B-k)/B) lists. That is one of 100 for 6 of 12, one of 1,000 for
// 10 of 20, one of 10^11 for 20 of 50, and never for 10 of 300; where k is nearly
// B it is common. Then a client may change two when that one backend leaves, but
// never more, and balance is as ever.
//
// How many clients change one is the price of the balance: a quarter to a half of
// all, for places move by up to half of one so that the gap is shared out. Those
// next to each other share nearly all of their backends, which is the price of
// the churn: of backends that are not in a row, more than one would change when
// places move. So [Among] orders clients by a hash too; those that are busy
// together, such as those of one rack, often have names that follow each other.
//
// When a client comes or goes, every other changes at most ceil(B/C) backends, C
// counting that client.
//
// While clients disagree on who they are, balance suffers a little: if half of
// 300 clients, with 10 of 300 backends each, see one client more than the others,
// backends have 9 to 11, and 6 to 14 if they see 30 more. So a client can wait
// until its list rests. [Steady] does, and spares connections from moving twice.
// Nothing of the kind is needed for backends.
//
// # Clients that know their name only
//
// A client without a place, [Client.Count] 0, takes the k backends with the
// smallest hashes of its ID and theirs: rendezvous hashing. It changes one
// backend if one of its own leaves, and otherwise none, always; but how many
// clients a backend gets is left to chance, as with k drawn at random: with 300
// clients that take 10 of 300, from 2 or 3 to 20.
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
// Finagle lays clients and servers on rings, and gives the servers at both ends
// of an arc parts of a weight: shares of the load are equal where ours are to
// one connection, for which arcs may be wider than asked for, and the ring begins
// at a fixed point. Random subsetting of gRPC, proposal A68, is
// rendezvous hashing with a salt that each client draws when it starts; here it is
// the client's name, so that it starts again where it was. Rendezvous hashing: Thaler and Ravishankar, "Using Name-Based
// Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking 6(1), 1998.
package subset
