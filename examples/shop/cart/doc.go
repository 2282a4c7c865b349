// Package cart is the shop's cart service. Every replica keeps every cart in
// its own bbolt file and can serve it alone, so that any replica may be killed,
// restarted or stopped while the others go on.
//
// # How two files agree
//
// A [Cart] is a value that merges: for each product the latest entry wins, by
// the stamp of a hybrid logical clock, and a removal is an entry of quantity
// zero. [Cart.Merge] is commutative, associative and idempotent, so replicas
// that have seen the same changes in any order, and any number of times, hold
// the same cart.
//
// A change is committed to the replica's own file, synced to the disk, together
// with a row in a log of changes. Then it is pushed to every peer that answers,
// which may take half a second, and only then acknowledged. What a peer misses,
// because it was down or hung or cut off or too slow, it pulls from the log: at
// its start before it is ready, and all the time after. How far it has read is
// stored in the same transaction as what it read.
//
// A change that got no answer in time is asked for again at another replica,
// while the first request may still be on its way and come after the next change.
// So changes have keys, and a change is as old as its first arrival anywhere.
//
// A checkout is decided in one place, the inventory service, which takes one
// reservation for a cart and a key and answers every repetition with the same.
// So two replicas that check out one cart at once end with one order. A change
// and a checkout of one cart at the same moment on two replicas are concurrent:
// the change may miss the order, whose lines then say what was bought. Nor can
// replicas that do not reach each other know which of two changes is the later
// one, beyond what their clocks say.
//
// # What is promised
//
// A change that was acknowledged stays: every replica gets it, whichever are
// killed and restarted meanwhile.
//
// It is also in every order that follows, if all replicas had it when it was
// acknowledged or the others were down then and have caught up since. But one
// that was up and silent, for it hung or was cut off or had no time, may take
// an order before it gets the change, when it cannot ask the replica that has
// it either: that one is down, or does not answer in half a second, or did not
// answer last. So may one that starts while the others do not answer. The
// change is then in the cart and not in the order. To promise more, a replica
// would have to refuse changes or orders whenever another one is silent, and
// here any one of them is to be enough.
//
// A replica that lacks a cart, or has nothing in it to check out, says so only
// if all replicas have been asked; else it answers 503, and the caller tries
// another one.
//
// # A replica that was stopped
//
// A process that was stopped for a while (SIGSTOP, a suspended machine) wakes
// with requests in its sockets that their senders gave up long ago and repeated
// elsewhere. Applied now, they would get new stamps and undo what came after
// them. So a replica that finds that its time has jumped refuses changes for a
// moment, as work not begun that can safely go to another replica, and catches
// up with its peers before it serves anything. See [Gate].
//
// # Parts
//
// domain.go and clock.go know neither HTTP nor storage. carts.go holds the use
// cases and the interfaces they need. store.go keeps carts in bbolt,
// neighbours.go asks pricing and inventory, replicate.go talks to the peers,
// http.go and internal.go are the service's two faces, run.go puts it together.
package cart
