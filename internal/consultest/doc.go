// Package consultest runs real Consul servers for tests.
//
// The program is consul from PATH, whatever its version, or else Consul
// [Version], built once from the module in tools/consul into the user's cache
// directory. The build takes several minutes when nothing is cached, which is
// close to go test's own time limit. So it belongs before the tests:
//
//	func TestMain(m *testing.M) { consultest.Main(m) }
//
// and it runs in a process of its own, which goes on when the test binary that
// waits for it is killed; the next run finds the result. With -short nothing is
// built, [Start] skips the test and Main says so. Without it a Consul that
// cannot be had is a failure, never a skip: nobody overlooks that.
//
// Consul is a program that tests talk to. Nothing of it is linked into gabion.
package consultest
