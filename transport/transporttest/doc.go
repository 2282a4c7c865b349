// Package transporttest shows in a unit test, in virtual time, how services
// behave when their neighbours are slow, dead, lying or cut off.
//
// A [Network] lives in a bubble of package testing/synctest. It has hosts that
// are connected in memory, with real servers of net/http on them, HTTP/1.1 and
// HTTP/2, and real clients, those of gabion or any other [http.RoundTripper].
// Hours of traffic pass in seconds, because time passes only when everybody
// waits:
//
//	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
//		n.Serve("pricing", 3, newPricing)
//		n.Serve("cart", 2, newCart)
//		n.Fault(transporttest.Fault{Kind: transporttest.Crash, On: "pricing", At: 5 * time.Second, For: 10 * time.Second})
//		r := n.Run(load.Load{Client: "web", Service: "cart", Rate: 50, For: 30 * time.Second})
//		if got, want := r.Success, 1.0; got != want {
//			t.Errorf("success %v, want %v", got, want)
//		}
//	})
//
// What goes wrong is plain data: see [Fault]. What happened is in the report,
// see package report, and as a picture in the log of a test that fails.
//
// # Scenarios and seeds
//
// A [Scenario] is all of this as plain data, in Go or in JSON: services, loads
// and faults. It runs with any client, see [WithVia], and package sockets runs it
// on real servers. [Explore] runs it, and [Seeds] a test by hand, under many
// seeds, for example with [RandomFaults]: what fails is shrunk on request to the
// few faults that it takes.
//
// # The same again
//
// Everything that is left to chance follows from a seed, [WithSeed] or the
// environment variable GABION_SEED, so that what failed once fails again: the
// same seed gives the same trace, byte by byte, on any number of processors.
// This holds as long as the programs under test are deterministic themselves:
// they take their chance from [Process.Rand], and do not decide by the order in
// which goroutines run at the same instant. Calls that one process begins at the
// same instant are put in the order of their method and URL. One case is left to
// chance: calls of a process that all wait for the registry's first answer go on
// together when it comes.
//
// # Time
//
// The bubble's clock stands still while any goroutine can run. What waits for
// something outside the bubble, such as a socket or a mutex, stops it for good;
// so does an endless loop. Files and databases do not wait in this sense.
package transporttest
