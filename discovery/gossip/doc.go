// Package gossip is a registry without a server: the processes tell each other
// who is there. hashicorp/memberlist runs underneath.
//
// With nothing configured the processes of one machine find each other on
// loopback, in any order of starting. On a network they need the addresses of
// some members as seeds, and should share a key, see [Config]. Groups that do
// not know each other yet merge by themselves within seconds, as soon as one
// of them reaches a seed, or a meeting place, of the other.
//
// Each process is one node, a [Backend], and carries all of its instances.
// What a node announces travels as a whole under a version, to its peers at
// once and from them to theirs; the newest wins. An instance is listed while
// its node is alive and its status is not critical. A node that leaves by
// Close is out at once; one that crashes is out after 2.5 to 3 s on loopback
// and 5.5 to 6.5 s on a network, and callers stop using it long before that,
// because its connections are refused.
//
// Without a key the cluster believes whoever reaches its port. Messages are
// checked and bounded all the same.
package gossip
