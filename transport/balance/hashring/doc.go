// Package hashring finds the member of a set that a key belongs to, so that
// every process with the same set gives a key to the same member and a change of
// the set moves few keys: consistent hashing.
//
//	table, err := hashring.Build(hashring.Settings{}, []hashring.Member{
//		{Key: "cart-1", Weight: 1},
//		{Key: "cart-2", Weight: 2},
//	})
//	...
//	i := table.Lookup(hashring.Sum(userID)) // an index into the members
//
// # Kinds
//
//	            lookup  balance of shares     keys that move without need
//	Ring        O(1)    4.4 % off, 15 % at most  none
//	Maglev      O(1)    within 1 slot         some, see below
//	Rendezvous  O(n)    that of the hash      none
//
// [Ring] is the default. Each member has points on a circle and owns the keys
// before them (Karger, Lehman, Leighton, Panigrahy, Levine and Lewin, "Consistent
// Hashing and Random Trees", STOC 1997). With its 512 points a member's share has
// a standard deviation of 4.4 % of itself.
//
// [Maglev] fills a table of fixed size by letting the members take turns
// (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
// Balancer", NSDI 2016, section 3.4). It is the one for shares that must be
// exact. When one of n members of equal weight leaves, keys of others move
// too: 0.2 % of all keys with n = 10, 0.6 % with 100 and 1,000.
//
// [Rendezvous] ranks all members for each key and takes the first (Thaler and
// Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM
// Transactions on Networking 6(1), 1998), with weights after Schindelhauer and
// Schomaker, "Weighted Distributed Hash Tables", SPAA 2005. It has nothing to
// build and suits small sets.
//
// # When the owner cannot serve
//
// [Table.Choices] goes on to other members, in an order of the key's own: the
// keys of a member that is passed over spread over all others by their weights,
// not onto one neighbour. [Table.Bounded] passes over members that have more
// than their share of the load already (Mirrokni, Thorup and Zadimoghaddam,
// "Consistent Hashing with Bounded Loads", SODA 2018, arXiv:1608.01350), and
// goes on in that order too, which keeps an overload from running along the ring
// (Chen, Coleman and Shrivastava, "Revisiting Consistent Hashing with Bounded
// Loads", AAAI 2021, arXiv:1908.08762).
//
// # Cost
//
// A [Table] never changes and is safe for concurrent use. Lookups allocate
// nothing. A change of the set builds a new table, in time and memory that grow
// with the table: a ring of n members of weight 1 has 512 n points of 8 B and
// between 2 B and 4 B of index for each, a Maglev table 4 B for each slot.
//
// # Compatibility
//
// Which member a key belongs to depends on the members' keys and weights and on
// [Settings], on nothing else: not on the order of the members, the process or
// the machine. Releases that change it say so as a breaking change.
package hashring
