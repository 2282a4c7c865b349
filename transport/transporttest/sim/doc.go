// Package sim runs calls of many clients to many servers in virtual time,
// without HTTP, fast enough for a thousand of each and a million calls.
//
// What decides is the code that production runs: [balance.Balancer],
// [retry.Policy], [retry.Budget] and [retry.Hedger], [breaker.Breaker],
// [limit.Bulkhead] and [limit.Adaptive]. What is modelled is around it: clients
// put a call together as transport's client does, servers are queues, processors
// to share or mere delays, and the list of servers reaches clients after a while.
//
//	result, err := sim.Run(ctx, sim.Config{
//		Seed:    1,
//		For:     time.Minute,
//		Clients: []sim.Clients{{Name: "web", Count: 10}},
//		Servers: []sim.Servers{{Service: "pricing", Count: 5, Kind: sim.Queue, Time: dist.Exponential(10 * time.Millisecond)}},
//		Load:    []load.Load{{Client: "web", Service: "pricing", Rate: 100}},
//		Changes: []sim.Change{{Kind: sim.Down, Service: "pricing", Count: 1, At: 20 * time.Second, For: 10 * time.Second}},
//	})
//
// # Time and chance
//
// A run has one goroutine that takes events out of a heap and sleeps from one
// to the next in a [testing/synctest] bubble, so that the clock which the code
// under test reads is that of the run. Everything random follows from
// Config.Seed: the same Config gives the same Result, byte for byte. What a
// call asks of a server follows from the seed and the call alone, so that
// policies are compared on the very same work.
//
// # What is left out
//
// Connections, bodies and bytes; the deadline headers of a hop are modelled in
// that a server knows when the call is over. A call makes no calls itself: for
// chains of services use package transporttest, which runs real servers.
package sim
