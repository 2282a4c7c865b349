// Package sockets runs a scenario of package transporttest on real sockets, in
// real time, so that what was shown in a bubble can be confirmed outside it:
// the same services, loads and faults, and the same report.
//
//	scenario.Run(t)                                  // in the bubble, in no time
//	sockets.Run(t, scenario, map[string][]sockets.Target{
//		"pricing": {{Addr: "127.0.0.1:9001"}, {Addr: "127.0.0.1:9002"}},
//	})                                               // on two real servers
//
// A [Target] is a real server, in this process or another. It stands in a
// [transporttest.Network], outside a bubble, as a host, and what goes to it
// passes the very links that the bubble has:
//
//	client ==TCP==> link, with its faults ==TCP==> server
//
// So all faults of links and of the registry are those of the bubble. Crash,
// Restart and Pause cut the server off in the same way and also call what the
// Target has for them, to kill a process or to stop it with SIGSTOP. Faults of
// handlers come from an HTTP proxy in front of the server, see [Target]. A
// [transporttest.ClockJump] cannot be had.
//
// Real clients find their way into the network by [Listen], which is a
// fault-injecting TCP proxy: an address on the loopback that leads to a host of
// the network.
package sockets
