package limit_test

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

// seed decides all that is left to chance in the simulations.
const seed = 1

// An agenda is what will happen, to be used in a synctest bubble by one
// goroutine: what happens at the same moment has an order, and so one run is
// like the other.
type agenda struct {
	events events
	added  int
}

type event struct {
	at time.Time
	n  int // orders those of the same moment
	do func()
}

// after plans do for the time d from now.
func (a *agenda) after(d time.Duration, do func()) {
	a.added++
	heap.Push(&a.events, event{time.Now().Add(d), a.added, do})
}

// run lets d pass.
func (a *agenda) run(d time.Duration) {
	end := time.Now().Add(d)
	for len(a.events) > 0 && !a.events[0].at.After(end) {
		a.next()
	}
	time.Sleep(time.Until(end))
}

// drain lets time pass until nothing is left to happen.
func (a *agenda) drain() {
	for len(a.events) > 0 {
		a.next()
	}
}

func (a *agenda) next() {
	e := heap.Pop(&a.events).(event)
	time.Sleep(time.Until(e.at))
	e.do()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// A server is a simulated one: some workers take jobs in order.
type server struct {
	agenda
	limiter *limit.Adaptive
	workers int
	busy    int
	waiting []*job
}

type job struct {
	takes time.Duration
	done  func()
}

func newServer(t testing.TB, workers int, s limit.Settings) *server {
	t.Helper()
	a, err := limit.NewAdaptive(s)
	if err != nil {
		t.Fatal(err)
	}
	return &server{limiter: a, workers: workers}
}

// setWorkers changes the capacity.
func (s *server) setWorkers(n int) {
	s.workers = n
	s.hire()
}

// hire lets those in front of the queue begin.
func (s *server) hire() {
	for s.busy < s.workers && len(s.waiting) > 0 {
		j := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.busy++
		s.after(j.takes, func() {
			s.busy--
			s.hire()
			j.done()
		})
	}
}

// work takes a worker for d, after waiting for one.
func (s *server) work(d time.Duration, done func()) *job {
	j := &job{d, done}
	s.waiting = append(s.waiting, j)
	s.hire()
	return j
}

// workUntil is work that is abandoned if it has not begun after most.
func (s *server) workUntil(d, most time.Duration, done, abandoned func()) {
	j := s.work(d, done)
	s.after(most, func() {
		if i := slices.Index(s.waiting, j); i >= 0 {
			s.waiting = slices.Delete(s.waiting, i, i+1)
			abandoned()
		}
	})
}

// highest returns the highest limit in the time d from now: a test that is
// under way cuts it for a moment.
func (s *server) highest(d time.Duration) int {
	n := 0
	for end := time.Now().Add(d); time.Now().Before(end); s.run(50 * time.Millisecond) {
		n = max(n, s.limiter.Limit())
	}
	return n
}

// A request is one of a load. What chance decides of it follows from its
// number.
type request struct {
	n    int
	rand *rand.Rand
	// succeed and drop end it, once it is admitted.
	succeed, drop func()
	stream        func()
}

func newRequest(n int) *request {
	return &request{n: n, rand: rand.New(rand.NewPCG(seed, uint64(n)))}
}

// around returns a random time with the given mean, exponentially distributed.
func (r *request) around(mean time.Duration) time.Duration {
	return time.Duration(r.rand.ExpFloat64() * float64(mean))
}

// A load sends requests at random moments and remembers what became of them.
type load struct {
	server      *server
	perSecond   float64
	criticality func(*request) limit.Criticality
	handle      func(*request) // what a request does once admitted

	took    []time.Duration // of the served, from arrival
	served  map[limit.Criticality]int
	refused map[limit.Criticality]int
}

// start sends for d, while the server's agenda runs.
func (l *load) start(d time.Duration) {
	l.served, l.refused = map[limit.Criticality]int{}, map[limit.Criticality]int{}
	arrivals := newRequest(0)
	gap := time.Duration(float64(time.Second) / l.perSecond)
	end := time.Now().Add(d)
	n := 0
	var arrive func()
	arrive = func() {
		n++
		l.one(newRequest(n))
		if time.Now().Before(end) {
			l.server.after(arrivals.around(gap), arrive)
		}
	}
	l.server.after(arrivals.around(gap), arrive)
}

// one asks for a place for r, waits for it as Acquire does, and handles r.
func (l *load) one(r *request) {
	c := limit.Critical
	if l.criticality != nil {
		c = l.criticality(r)
	}
	arrived := time.Now()
	decided := func(t limit.Ticket, err error) {
		if err != nil {
			l.refused[c]++
			return
		}
		end := func(o limit.Outcome) {
			t.Release(o)
			l.took = append(l.took, time.Since(arrived))
			l.served[c]++
		}
		r.succeed = func() { end(limit.Succeeded) }
		r.drop = func() { end(limit.Dropped) }
		r.stream = t.Stream
		l.handle(r)
	}
	t, w, err := l.server.limiter.Enter(c, decided)
	if w == nil {
		decided(t, err)
		return
	}
	l.server.after(w.Patience(), func() {
		if err := w.Leave(); err != nil {
			decided(limit.Ticket{}, err)
		}
	})
}

// during returns how many are served, and how long those take at q, in the
// time d from now.
func (l *load) during(d time.Duration, q float64) (served int, took time.Duration) {
	before := len(l.took)
	l.server.run(d)
	part := slices.Sorted(slices.Values(l.took[before:]))
	if len(part) == 0 {
		return 0, 0
	}
	return len(part), part[int(q*float64(len(part)-1))]
}

func (l *load) count() (served, refused int) {
	for c := limit.Sheddable; c <= limit.CriticalPlus; c++ {
		served += l.served[c]
		refused += l.refused[c]
	}
	return served, refused
}
