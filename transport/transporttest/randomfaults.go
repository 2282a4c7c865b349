package transporttest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// A FaultSpace is the faults among which [RandomFaults] chooses.
type FaultSpace struct {
	// On are the hosts and services that faults of hosts and handlers fall
	// upon. Default none.
	On []string
	// Links are the ends of the links that faults fall upon, from and to.
	// Every second fault of a link, drawn at random, is one way. Default none.
	Links [][2]string
	// Registry are the services of which the registry lies or knows nothing.
	// Default none.
	Registry []string
	// Kinds are allowed. Default all for which there are victims.
	Kinds []Kind

	// From and Until are when faults begin. Until must be above From. Default
	// 0, and 10 s later.
	From, Until time.Duration
	// Shortest and Longest bound how long a fault lasts: short ones are as
	// likely as long ones, on a logarithmic scale. Default 100 ms and 5 s.
	Shortest, Longest time.Duration
	// AtOnce bounds how many faults are in force at the same time; those that
	// would be too many are left out. Default 0, any number.
	AtOnce int
}

// RandomFaults returns n faults from the space in the order of their
// beginning, or fewer if space.AtOnce allows no more. They follow from the seed
// and the arguments alone. All are valid, and all end. It panics if the space
// has no victim for a kind, names an unknown one or times that are the wrong
// way round.
func RandomFaults(seed uint64, n int, space FaultSpace) []Fault {
	space = space.withDefaults()
	var faults []Fault
	for i := range n {
		d := draw{random.New(random.Hash(seed, "fault", uint64(i)))}
		if f := d.fault(space); space.AtOnce == 0 || inForce(faults, f) < space.AtOnce {
			faults = append(faults, f)
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return faults
}

// inForce returns how many faults are in force at some time while f is.
func inForce(faults []Fault, f Fault) int {
	n := 0
	for _, o := range faults {
		if o.At < f.At+f.For && f.At < o.At+o.For {
			n++
		}
	}
	return n
}

func (s FaultSpace) withDefaults() FaultSpace {
	s.Until = cmp.Or(s.Until, s.From+10*time.Second)
	s.Shortest = cmp.Or(s.Shortest, min(100*time.Millisecond, cmp.Or(s.Longest, math.MaxInt64)))
	s.Longest = cmp.Or(s.Longest, max(5*time.Second, s.Shortest))
	if len(s.Kinds) == 0 {
		for _, name := range kindNames() {
			if len(s.victims(Kind(name))) > 0 {
				s.Kinds = append(s.Kinds, Kind(name))
			}
		}
	}
	if s.From < 0 || s.Until <= s.From || s.Shortest < 0 || s.Longest < s.Shortest {
		panic(fmt.Sprintf("transporttest: random faults: from %v until %v, shortest %v, longest %v: want them to rise",
			s.From, s.Until, s.Shortest, s.Longest))
	}
	if len(s.Kinds) == 0 {
		panic("transporttest: random faults: on, links and registry are empty: name whom they may fall upon")
	}
	for _, k := range s.Kinds {
		if _, known := kinds[k]; !known || len(s.victims(k)) == 0 {
			panic(fmt.Sprintf("transporttest: random faults: kind %q is unknown, or nobody is named whom it may fall upon", k))
		}
	}
	return s
}

// victims are those whom a kind may fall upon, links as from and to.
func (s FaultSpace) victims(k Kind) [][2]string {
	var single []string
	switch k {
	case RegistryOutage, RegistryEmpty, RegistryStale, RegistryDuplicate, RegistryHalf:
		single = s.Registry
	default:
		if kinds[k].link {
			return slices.DeleteFunc(slices.Clone(s.Links), func(l [2]string) bool { return !k.joins(l[0], l[1]) })
		}
		single = s.On
	}
	var all [][2]string
	for _, name := range single {
		all = append(all, [2]string{name})
	}
	return all
}

// draw makes one random fault.
type draw struct{ src rand.Source }

func (d draw) fault(s FaultSpace) Fault {
	f := Fault{Kind: pick(d, s.Kinds)}
	victim := pick(d, s.victims(f.Kind))
	if f.link() {
		f.From, f.To, f.OneWay = victim[0], victim[1], random.IntN(d.src, 2) == 0
	} else {
		f.On = victim[0]
	}
	f.At = (s.From + random.Duration(d.src, s.Until-s.From)).Truncate(time.Millisecond)
	f.For = d.duration(s.Shortest, s.Longest)
	d.details(&f)
	return f
}

// details sets what the kind needs: values from those that are hardly noticed
// to those that hurt.
func (d draw) details(f *Fault) {
	switch f.Kind {
	case Latency, Slow:
		f.Latency = dist.Exponential(d.duration(time.Millisecond, time.Second))
		f.Probability = d.share()
	case Stall, Reset:
		f.Probability = max(0.01, d.share()/4)
	case Refuse, Panic:
		f.Probability = d.share()
	case Drip:
		f.Rate = int(d.between(100, 1e6))
	case Crash:
		f.Silent = random.IntN(d.src, 4) == 0
	case CPU:
		f.Cores = round(d.between(0.1, 4))
		f.Work = dist.Exponential(d.duration(time.Millisecond, 50*time.Millisecond))
	case ClockJump:
		f.Jump = d.duration(time.Second, 24*time.Hour)
		if random.IntN(d.src, 2) == 0 {
			f.Jump = -f.Jump
		}
	case Status:
		f.Status = pick(d, []int{
			http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
			http.StatusGatewayTimeout, http.StatusTooManyRequests,
		})
		f.Probability = d.share()
	case Cut:
		f.Bytes = random.IntN(d.src, 100)
		f.Probability = d.share()
	case Queue:
		f.Workers = 1 + random.IntN(d.src, 4)
		f.Backlog = random.IntN(d.src, 11)
	}
}

func pick[T any](d draw, from []T) T { return from[random.IntN(d.src, len(from))] }

// between returns a number whose logarithm is uniform.
func (d draw) between(lo, hi float64) float64 {
	return lo * math.Pow(hi/lo, random.Float64(d.src))
}

func (d draw) duration(lo, hi time.Duration) time.Duration {
	lo = max(lo, time.Millisecond)
	return max(time.Millisecond, time.Duration(d.between(float64(lo), float64(max(lo, hi)))).Truncate(time.Millisecond))
}

// share returns a probability: 1 one time in three, else 0.05 to 1.
func (d draw) share() float64 {
	if random.IntN(d.src, 3) == 0 {
		return 1
	}
	return round(d.between(0.05, 1))
}

// round keeps two decimals, for people who read them.
func round(x float64) float64 { return math.Round(100*x) / 100 }
