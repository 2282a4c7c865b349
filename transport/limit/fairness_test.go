package limit_test

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/transport/limit"
)

// fairLoad sends as the named clients do, each at its own rate.
type fairLoad struct {
	server          *server
	served, refused map[string]int
}

// send lets a client send at a rate, for d. With name "" each request is of
// another client.
func (l *fairLoad) send(name string, perSecond float64, d time.Duration) {
	arrivals := newRequest(len(name) + int(perSecond))
	gap := time.Duration(float64(time.Second) / perSecond)
	end, n := time.Now().Add(d), 0
	var arrive func()
	arrive = func() {
		n++
		client := name
		if client == "" {
			client = strconv.Itoa(n)
		}
		l.one(name, client, newRequest(n))
		if time.Now().Before(end) {
			l.server.after(arrivals.around(gap), arrive)
		}
	}
	l.server.after(arrivals.around(gap), arrive)
}

func (l *fairLoad) one(name, client string, r *request) {
	decided := func(t limit.Ticket, err error) {
		if err != nil {
			l.refused[name]++
			return
		}
		l.server.work(r.around(mean), func() {
			t.Release(limit.Succeeded)
			l.served[name]++
		})
	}
	t, w, err := l.server.limiter.EnterFrom(limit.Critical, client, decided)
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

// A client that sends 50 times as much as another takes none of what the other
// asks for, or leaves it half.
func TestHeavyClient(t *testing.T) {
	const workers, d = 4, 6 * time.Second
	capacity := workers / mean.Seconds()
	for name, tc := range map[string]struct {
		light, heavy float64 // of capacity
		want         float64 // of what the light one sends
	}{
		"light is light":            {0.1, 5, 0.95},
		"light asks for its half":   {0.4, 20, 0.88},
		"both ask for far too much": {1, 50, 0.42},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &fairLoad{newServer(t, workers, limit.Settings{}), map[string]int{}, map[string]int{}}
				l.send("light", tc.light*capacity, d)
				l.send("heavy", tc.heavy*capacity, d)
				l.server.run(d)
				l.server.drain()
				got := float64(l.served["light"]) / float64(l.served["light"]+l.refused["light"])
				all := float64(l.served["light"]+l.served["heavy"]) / (capacity * d.Seconds())
				t.Logf("%.3f of the light client's served; %.3f of capacity used", got, all)
				if got < tc.want {
					t.Errorf("%.3f of the light client's requests served, want %v", got, tc.want)
				}
				if all < 0.85 {
					t.Errorf("%.3f of capacity used", all)
				}
			})
		})
	}
}

// Many clients that send one request each are served as without names: in an
// overload the last come first, and are served soon.
func TestManyClientsInOverload(t *testing.T) {
	const workers, d = 4, 6 * time.Second
	synctest.Test(t, func(t *testing.T) {
		l := &fairLoad{newServer(t, workers, limit.Settings{}), map[string]int{}, map[string]int{}}
		l.send("", 5*workers/mean.Seconds(), d)
		l.server.run(d)
		l.server.drain()
		if got := float64(l.served[""]) / (workers / mean.Seconds() * d.Seconds()); got < 0.88 {
			t.Errorf("%.3f of capacity used", got)
		}
	})
}

// The order in which clients are served, and who is refused: one place, taken at
// first; the names are of clients, in the order of their requests.
func TestTurns(t *testing.T) {
	for name, tc := range map[string]struct {
		queue                      int
		overload                   bool
		come                       string
		served, preempted, refused string
	}{
		"in turns":                      {9, false, "aaabbc", "a1b4c6a2b5a3", "", ""},
		"one client":                    {3, false, "aaaa", "a1a2a3", "", "a4"},
		"the heavy one makes room":      {3, false, "aaab", "a1b4a2", "a3", ""},
		"not for its equal":             {4, false, "aabbb", "a1b3a2b4", "", "b5"},
		"nor for another of a full set": {3, false, "abcd", "a1b2c3", "", "d4"},
		"overload: one client":          {3, true, "aaaa", "a4a3a2", "a1", ""},
		"overload: in turns":            {9, true, "aaabbc", "c6b5a3b4a2a1", "", ""},
		"overload: the heavy one":       {3, true, "aaab", "b4a3a2", "a1", ""},
		"overload: the newest":          {3, true, "abcd", "d4c3b2", "a1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := fixed(t, 1, tc.queue, 500*time.Millisecond)
				held := acquire(t, a)
				if tc.overload { // a less critical one keeps the queue standing, and makes room
					_, _, _ = a.Enter(limit.Sheddable, func(limit.Ticket, error) {})
					time.Sleep(600 * time.Millisecond)
				}
				var served, preempted, refused string
				var next limit.Ticket
				for i, r := range tc.come {
					who := fmt.Sprintf("%c%d", r, i+1)
					_, w, err := a.EnterFrom(limit.Critical, string(r), func(ticket limit.Ticket, err error) {
						if err != nil {
							wantShed(t, err, limit.ReasonPreempted)
							preempted += who
							return
						}
						served += who
						next = ticket
					})
					if w == nil {
						wantShed(t, err, limit.ReasonQueueFull)
						refused += who
					}
				}
				held.Release(limit.Ignored)
				for range tc.come {
					next.Release(limit.Ignored)
				}
				if served != tc.served || preempted != tc.preempted || refused != tc.refused {
					t.Errorf("served %s, preempted %s, refused %s; want %+v", served, preempted, refused, tc)
				}
			})
		})
	}
}

// Whatever comes, waits and leaves: every request is decided once; no more wait
// than may; nobody of a class is refused while a less critical one waits; and
// when all is done nothing is left.
func TestQueueProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const places, room = 2, 6
		a := fixed(t, places, room, time.Hour)
		type one struct {
			class   limit.Criticality
			waiter  *limit.Waiter
			decided int
		}
		var tickets []limit.Ticket
		var waiting []*one
		waits := func(c limit.Criticality) (n int) {
			for _, o := range waiting {
				if o.decided == 0 && o.class <= c {
					n++
				}
			}
			return n
		}
		r.Repeat(map[string]func(*rapid.T){
			"come": func(r *rapid.T) {
				o := &one{class: limit.Criticality(rapid.IntRange(-2, 1).Draw(r, "class"))}
				client := rapid.SampledFrom([]string{"", "a", "b", "c", "d"}).Draw(r, "client")
				less := waits(o.class - 1)
				ticket, w, err := a.EnterFrom(o.class, client, func(ticket limit.Ticket, err error) {
					o.decided++
					if err == nil {
						tickets = append(tickets, ticket)
					}
				})
				switch {
				case w != nil:
					o.waiter = w
					waiting = append(waiting, o)
				case err != nil:
					if less > 0 {
						r.Fatalf("%v refused while %d less critical wait", o.class, less)
					}
				default:
					tickets = append(tickets, ticket)
				}
			},
			"end": func(r *rapid.T) {
				if len(tickets) == 0 {
					r.Skip("nothing is worked on")
				}
				ticket := tickets[0]
				tickets = tickets[1:]
				ticket.Release(limit.Ignored)
			},
			"leave": func(r *rapid.T) {
				if len(waiting) == 0 {
					r.Skip("nobody has waited")
				}
				o := waiting[rapid.IntRange(0, len(waiting)-1).Draw(r, "who")]
				if o.waiter.Leave() != nil {
					o.decided++
				}
			},
			"": func(r *rapid.T) {
				n := 0
				for _, o := range waiting {
					if o.decided > 1 {
						r.Fatalf("a request was decided %d times", o.decided)
					}
					if o.decided == 0 {
						n++
					}
				}
				if n != a.Queued() || n > room || len(tickets) != a.InFlight() || a.InFlight() > places || n > 0 && len(tickets) < places {
					r.Fatalf("%d wait, says %d; %d worked on, says %d", n, a.Queued(), len(tickets), a.InFlight())
				}
			},
		})
		for len(tickets) > 0 {
			ticket := tickets[0]
			tickets = tickets[1:]
			ticket.Release(limit.Ignored)
		}
		if a.InFlight() != 0 || a.Queued() != 0 {
			r.Fatalf("%d worked on, %d wait at the end", a.InFlight(), a.Queued())
		}
	})
}

// Refusals stay cheap with a queue full of clients.
func TestFairRefusalsAllocateNothing(t *testing.T) {
	a := fullOf(t, 100)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = a.AcquireFrom(ctx, limit.Critical, "0") }); n > 0 {
		t.Errorf("%v allocations for a refusal", n)
	}
}

// fullOf returns a limiter whose queue is full of requests of so many clients.
func fullOf(t testing.TB, clients int) *limit.Adaptive {
	a := fixed(t, 1, 100, time.Hour)
	for i := range 101 {
		if _, _, err := a.EnterFrom(limit.Critical, strconv.Itoa(i%clients), func(limit.Ticket, error) {}); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func BenchmarkRefuseFairly(b *testing.B) {
	for _, clients := range []int{1, 10, 100} {
		b.Run("clients="+strconv.Itoa(clients), func(b *testing.B) {
			a, ctx := fullOf(b, clients), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.AcquireFrom(ctx, limit.Critical, "0"); err == nil {
					b.Fatal("not refused")
				}
			}
		})
	}
}
