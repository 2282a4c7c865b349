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
//	            lookup  shares are off by  keys that move without need
//	Ring        O(1)    4.4 % (deviation)  none
//	Maglev      O(1)    one slot           less than 1 % of all
//	Rendezvous  O(n)    nothing            none
//
// [Ring] is the default. Each member has points on a circle and owns the keys
// before them (Karger, Lehman, Leighton, Panigrahy, Levine and Lewin, "Consistent
// Hashing and Random Trees", STOC 1997). Its 512 points per unit of weight are
// nobody else's concern, so a member that leaves moves its own keys and no
// others; see [Settings] for rings of which the size is bounded. The standard
// deviation of its share is 1/sqrt(512), 4.4 % of the share.
//
// [Maglev] fills a table of fixed size by letting the members take turns
// (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
// Balancer", NSDI 2016, section 3.4). It is the one for shares that must be
// exact: 100 members have theirs to 0.15 %. When one of n members of equal weight leaves, keys of others move
// too: 0.2 % of all keys with n = 10, 0.6 % with 100 and 1,000.
//
// [Rendezvous] ranks all members for each key and takes the first (Thaler and
// Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM
// Transactions on Networking 6(1), 1998), with weights after Schindelhauer and
// Schomaker, "Weighted Distributed Hash Tables", SPAA 2005. It has nothing to
// build and suits sets of up to about 100.
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
// nothing. A change of the set builds a new table. On a 2-core virtual machine
// that was busy with other work, members of weight 1 and the default sizes:
//
//	members             10      100      1,000    10,000
//	Ring        build   0.13 ms  1.8 ms  25 ms    51 ms
//	            lookup  28 ns    37 ns   66 ns    86 ns
//	            size    60 kB    0.5 MB  5.2 MB   11 MB
//	Maglev      build   5.4 ms   14 ms   20 ms    27 ms
//	            lookup  6 ns     6 ns    6 ns     6 ns
//	            size    0.3 MB   0.3 MB  0.3 MB   0.5 MB
//	Rendezvous  build   3 us     23 us   0.2 ms   3 ms
//	            lookup  0.6 us   1.7 us  10 us    0.1 ms
//	            size    0.5 kB   4 kB    37 kB    0.4 MB
//
// # Compatibility
//
// Which member a key belongs to depends on the members' keys and weights and on
// [Settings], on nothing else: not on the order of the members, the process or
// the machine. Releases that change it say so as a breaking change.
package hashring
