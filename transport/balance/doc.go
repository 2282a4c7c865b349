// Package balance chooses which endpoint of a service gets a call.
//
// A [Balancer] is given the service's instances as discovery reports them and
// picks an endpoint for each attempt. Every pick is followed by exactly one
// [Endpoint.Done], from which the balancer learns:
//
//	e, err := b.Pick(nil)
//	if err != nil {
//		return err // balance.ErrNoInstances
//	}
//	resp, err := send(e.Addr(), req)
//	e.Done(balance.Result{Outcome: outcomeOf(resp, err), Latency: took})
//
// # Who is passed over
//
//   - Draining: an instance with a negative weight, or one that has left the
//     list, gets no calls.
//   - Resting: whoever asked to be left alone ([Result.Rest]) is, up to 30 s,
//     while others can serve. So is, for 250 ms, one that could not be
//     connected to once.
//   - [Unreachable]: it could not be connected to twice in a row. It is left
//     out whatever the rest of the set looks like, unless all are unreachable.
//     One call is risked on it after 250 ms, then after twice as long, and so on
//     up to 10 s.
//   - [Ejected]: it failed [Ejection.Consecutive] times in a row; or, when
//     endpoints are compared every [Ejection.Interval], more than half of its
//     calls failed, and many more than is usual in the set; or, where
//     [Ejection.LatencyFactor] asks for it, they took too long. It is left out
//     for a time that grows with each ejection, then one call is risked on it.
//     Only a part of the set may be ejected ([Ejection.MaxPercent]).
//
// A call that is risked is leased: one caller at a time gets the endpoint, and
// if its outcome never comes the next one does 5 s later. An endpoint that has
// come back, and a new one, is first given 10 % of its share, which grows to all
// of it over [Policy.SlowStart], unless that holds for more than half of the set.
//
// When less than [Ejection.PanicPercent] of the set are healthy, ejection is
// more likely wrong than right, and the rest could not carry the load: then
// ejected endpoints are used like the others ([Stats.Panic]).
//
// # Where a call will be done first
//
// [PeakEWMA], the default, multiplies what a call takes with the calls that are
// in flight. The latency of an endpoint follows a slow answer at once and
// forgets it with a time constant of 10 s, so that an endpoint that was slow is
// tried again. When calls wait and none has been answered for longer than that,
// the wait counts instead: a stall shows before anything has ended. The part of
// its calls that fail counts as 5 s each, and fades with a half-life of 2 s: an
// endpoint that fails fast never looks fast. One of which nothing is known is
// taken to be as fast as the one that it is compared with.
//
// With [P2C], which goes by the calls in flight alone, failures count as load.
//
// # Which policy
//
//   - [PeakEWMA] unless there is a reason: it sees what is slow, stuck or failing
//     by itself, and needs nothing from the servers.
//   - [Prequal] where servers report their load and share machines with others,
//     or callers are many and each sees little of what a server has to do.
//   - [WeightedRoundRobin] where servers report their utilization and differ in
//     size, and calls are short and alike.
//   - [LeastRequest] for few endpoints with long calls, such as streams, that
//     must be spread evenly; [P2C] for many.
//   - [RoundRobin] and [Random] where calls must not depend on what happens.
//   - [RingHash] where an endpoint keeps something of a key, such as a cache;
//     [Maglev] if shares must be exact; [Rendezvous] for a handful of endpoints.
//     Instances of the calls' own choosing, one session each, are for
//     [Policy.Sticky].
//   - [WithPicker] for what is none of these.
//
// Whatever chooses, weights, slow starts, ejection, rests, zones and splits hold,
// and a call is not sent again where it was tried.
//
// # Who is asked at all
//
// What a call may go to is narrowed before a policy chooses, in this order:
//
//   - [Policy.Select] names the instances that get calls.
//   - [Policy.Subset]: of 50 and more a caller uses 20, so that callers and
//     endpoints need not all be connected. Which ones follows from the caller's
//     place among its peers ([WithCaller], [Balancer.SetPeers]).
//   - [Policy.Splits] send parts of the calls to parts of the instances, such as
//     5 percent to a new version, or those with a header to a canary.
//   - [Policy.Zones] keep calls in the caller's zone as far as it can carry them.
//
// Where that leaves nobody untried, the next wider circle is asked: a call that
// is answered by another zone or version is better than one that is not. Only
// Select is never left.
//
// # What is remembered
//
// What was learnt belongs to the instance: to its ID at its address. Lists in
// another order, other weights, another policy, other peers change none of it;
// an instance that is gone from the list for less than a minute comes back with
// it. [Balancer.SetPolicy] takes effect with the next pick.
//
// # Why there
//
// [Call.Explain] and [Balancer.Explain] tell why a call goes where it goes: who
// was compared, at which cost, and why every other endpoint was passed over.
//
// # Cost
//
// Pick and Done wait for nobody and allocate nothing; their cost does not depend
// on the number of endpoints, but for [LeastRequest] and [Rendezvous], which look
// at all of them. Nothing here starts a goroutine: what depends on time is worked
// out when somebody picks, or tells a result. A success costs the same whether
// intervals are counted or not; comparing endpoints, which is done only after
// failures and once in an [Ejection.Interval], looks at all of them.
package balance
