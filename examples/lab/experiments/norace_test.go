//go:build !race

package experiments

// RaceEnabled says whether the race detector is on.
const RaceEnabled = false
