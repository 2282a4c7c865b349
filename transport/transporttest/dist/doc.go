// Package dist describes distributions of durations as plain data: how long a
// link takes, how long a server works, how long a user thinks.
//
// A [Dist] is drawn from by its inverse: [Dist.At] maps a number in [0, 1) to a
// duration. Whoever draws brings the number, from a seeded generator or from a
// hash of what the draw is for, and so the same seed gives the same durations
// in whatever order they are asked for.
//
// In JSON a constant is a string and everything else an object:
//
//	"20ms"
//	{"kind": "lognormal", "mean": "20ms", "sd": "8ms", "max": "1s"}
//	{"kind": "quantiles", "quantiles": [{"q": 0, "d": "2ms"}, {"q": 0.99, "d": "90ms"}, {"q": 1, "d": "1s"}]}
//	{"kind": "quantiles", "file": "pricing.csv"}
package dist
