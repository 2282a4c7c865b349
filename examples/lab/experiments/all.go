package experiments

import "github.com/gabion-go/gabion/examples/lab/bench"

// All returns every experiment, in the order in which they are listed.
func All() []bench.Experiment {
	return []bench.Experiment{
		BeyondRoundRobin(),
		Prequal(),
		Metastable(),
		Overload(),
		RetryStorm(),
		Subsetting(),
		Tail(),
		TailAtScale(),
		Jitter(),
		RollingRestart(),
		HalfOpen(),
		ZoneOutage(),
	}
}
