package limit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/limit"
)

// A server is a simulated one, to be used in a synctest bubble: some workers
// take requests in order, each for a random time around its mean.
type server struct {
	limiter *limit.Adaptive

	mu      sync.Mutex
	workers int
	busy    int
	waiting []chan struct{}
}

// setWorkers changes the capacity.
func (s *server) setWorkers(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers = n
	s.hire()
}

// hire lets those in front of the queue begin; the lock must be held.
func (s *server) hire() {
	for s.busy < s.workers && len(s.waiting) > 0 {
		s.busy++
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
}

// work takes a worker for d, after waiting for one.
func (s *server) work(d time.Duration) limit.Outcome {
	turn := make(chan struct{})
	s.mu.Lock()
	s.waiting = append(s.waiting, turn)
	s.hire()
	s.mu.Unlock()
	<-turn
	time.Sleep(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.hire()
	return limit.Succeeded
}

// workUntil is work that is abandoned while it waits for longer than most.
func (s *server) workUntil(d, most time.Duration) limit.Outcome {
	turn := make(chan struct{})
	s.mu.Lock()
	s.waiting = append(s.waiting, turn)
	s.hire()
	s.mu.Unlock()
	select {
	case <-turn:
		time.Sleep(d)
	case <-time.After(most):
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.waiting, turn); i >= 0 {
			s.waiting = slices.Delete(s.waiting, i, i+1)
		} else {
			s.busy--
		}
		s.hire()
		return limit.Dropped
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.hire()
	return limit.Succeeded
}

// A load sends requests at random moments and remembers what became of them.
type load struct {
	server      *server
	perSecond   float64
	criticality func() limit.Criticality
	handle      func(*limit.Ticket) limit.Outcome // what a request does once admitted

	wg      sync.WaitGroup
	mu      sync.Mutex
	took    []time.Duration // of the served, from arrival
	served  map[limit.Criticality]int
	refused map[limit.Criticality]int
	reasons map[string]int
}

// start sends for d, in the background.
func (l *load) start(d time.Duration) {
	l.served, l.refused, l.reasons = map[limit.Criticality]int{}, map[limit.Criticality]int{}, map[string]int{}
	l.wg.Go(func() {
		for end := time.Now().Add(d); time.Now().Before(end); {
			time.Sleep(time.Duration(rand.ExpFloat64() / l.perSecond * float64(time.Second)))
			l.wg.Go(l.one)
		}
	})
}

// run sends for d, and returns when all is done.
func (l *load) run(d time.Duration) {
	l.start(d)
	l.wg.Wait()
}

// during returns how many are served, and how long those take at q, in the
// time d from now.
func (l *load) during(d time.Duration, q float64) (served int, took time.Duration) {
	l.mu.Lock()
	before := len(l.took)
	l.mu.Unlock()
	time.Sleep(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	part := slices.Sorted(slices.Values(l.took[before:]))
	if len(part) == 0 {
		return 0, 0
	}
	return len(part), part[int(q*float64(len(part)-1))]
}

func (l *load) one() {
	c := limit.Critical
	if l.criticality != nil {
		c = l.criticality()
	}
	arrived := time.Now()
	t, err := l.server.limiter.Acquire(context.Background(), c)
	if err != nil {
		shed, _ := errors.AsType[*limit.ShedError](err)
		l.mu.Lock()
		l.refused[c]++
		l.reasons[shed.Reason]++
		l.mu.Unlock()
		return
	}
	t.Release(l.handle(&t))
	l.mu.Lock()
	l.took = append(l.took, time.Since(arrived))
	l.served[c]++
	l.mu.Unlock()
}

func (l *load) count() (served, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := limit.Sheddable; c <= limit.CriticalPlus; c++ {
		served += l.served[c]
		refused += l.refused[c]
	}
	return served, refused
}

// around returns a random time with the given mean, exponentially distributed.
func around(mean time.Duration) time.Duration {
	return time.Duration(rand.ExpFloat64() * float64(mean))
}

func newServer(t testing.TB, workers int, s limit.Settings) *server {
	t.Helper()
	a, err := limit.NewAdaptive(s)
	if err != nil {
		t.Fatal(err)
	}
	return &server{limiter: a, workers: workers}
}
