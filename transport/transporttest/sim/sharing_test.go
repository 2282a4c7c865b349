package sim

import (
	"testing"
	"time"
)

// bench is a sharing server alone, without a clock: it goes from event to event.
func bench(cores float64) (*run, *sharing) {
	r := &run{}
	v := &server{run: r, kind: &Servers{Kind: Sharing, Cores: cores, Burst: cores}, slow: 1}
	s := newSharing(v)
	v.work = s
	return r, s
}

// ends runs until all jobs are done and returns when each was.
func ends(r *run, s *sharing, jobs ...*job) []time.Duration {
	at := map[*job]time.Duration{}
	for len(r.agenda.heap) > 0 {
		now, e := r.agenda.next()
		r.now = now
		j := e.handler.(*job)
		at[j] = now
		s.remove(j)
	}
	var list []time.Duration
	for _, j := range jobs {
		list = append(list, at[j])
	}
	return list
}

func TestSharing(t *testing.T) {
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		cores   float64
		demands [3]time.Duration // the second comes at 10 ms, the third at 20 ms
		change  func(*run, *sharing)
		want    [3]time.Duration
	}{
		"one core":   {1, [3]time.Duration{30 * ms, 30 * ms, 5 * ms}, nil, [3]time.Duration{55 * ms, 65 * ms, 35 * ms}},
		"two cores":  {2, [3]time.Duration{30 * ms, 30 * ms, 6 * ms}, nil, [3]time.Duration{33 * ms, 43 * ms, 29 * ms}},
		"many cores": {8, [3]time.Duration{30 * ms, 30 * ms, 5 * ms}, nil, [3]time.Duration{30 * ms, 40 * ms, 25 * ms}},
		"half core":  {.5, [3]time.Duration{5 * ms, 5 * ms, 5 * ms}, nil, [3]time.Duration{10 * ms, 20 * ms, 30 * ms}},
		"slower after 20 ms": {8, [3]time.Duration{30 * ms, 30 * ms, 5 * ms}, func(_ *run, s *sharing) { s.retime(2) },
			[3]time.Duration{40 * ms, 60 * ms, 30 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := bench(tc.cores)
			jobs := make([]*job, 3)
			at := map[*job]time.Duration{}
			for i := range jobs {
				jobs[i] = &job{server: s.server, demand: tc.demands[i]}
				begins := time.Duration(i) * 10 * ms
				for len(r.agenda.heap) > 0 && r.agenda.heap[0].at <= begins {
					now, e := r.agenda.next()
					r.now = now
					at[e.handler.(*job)] = now
					s.remove(e.handler.(*job))
				}
				r.now = begins
				s.add(jobs[i])
			}
			if tc.change != nil {
				tc.change(r, s)
			}
			for i, end := range ends(r, s, jobs...) {
				if end == 0 {
					end = at[jobs[i]]
				}
				if d := end - tc.want[i]; d < -1 || d > 2 {
					t.Errorf("job %d ended at %v, want %v", i, end, tc.want[i])
				}
			}
		})
	}
}

// A job that is taken out leaves its part to the others.
func TestSharingRemove(t *testing.T) {
	const ms = time.Millisecond
	r, s := bench(1)
	a, b := &job{server: s.server, demand: 20 * ms}, &job{server: s.server, demand: 30 * ms}
	s.add(a)
	s.add(b)
	r.now = 20 * ms // each has got 10 ms
	r.agenda.cancel(&a.end)
	s.remove(a)
	if got := ends(r, s, b)[0]; got != 40*ms {
		t.Errorf("the other ended at %v, want 40ms", got)
	}
}
