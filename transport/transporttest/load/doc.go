// Package load describes streams of calls as plain data: who calls what, and
// when.
//
// A [Load] is an open or a closed loop. In an open loop calls begin at the
// times that [Load.Arrivals] gives, however long the ones before take: this is
// what a service sees whose callers do not know of each other, and latency
// counted from those times leaves nothing out. In a closed loop a number of
// workers call, wait for the answer and think: a slow service is called less.
//
//	{"client": "web", "service": "cart", "path": "/v1/carts/7", "rate": 50, "timeout": "1s"}
//	{"client": "web", "service": "cart", "kind": "ramp", "rate": 10, "to": 500, "for": "1m"}
//	{"client": "cron", "service": "cart", "kind": "burst", "burst": 100, "every": "10s"}
//	{"client": "web", "service": "cart", "kind": "closed", "workers": 20, "think": {"kind": "exponential", "mean": "1s"}}
package load
