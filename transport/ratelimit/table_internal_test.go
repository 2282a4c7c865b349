package ratelimit

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"pgregory.net/rapid"
)

// A client is granted what a rate.Limiter grants, at any moments and costs.
func TestTableGrantsAsRateLimiter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{Requests: rapid.IntRange(1, 50).Draw(t, "requests"), Burst: rapid.IntRange(1, 20).Draw(t, "burst")}
		p.Window = time.Duration(rapid.SampledFrom([]int{1, 2, 60, 3600}).Draw(t, "window")) * time.Second
		l, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		g := l.active.Load()
		oracles := map[string]*rate.Limiter{}
		now := time.Duration(0)
		for range rapid.IntRange(1, 200).Draw(t, "requests made") {
			now += time.Duration(rapid.IntRange(0, int(3*g.interval)).Draw(t, "later"))
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
			cost := rapid.IntRange(0, p.Burst).Draw(t, "cost")
			if oracles[key] == nil {
				oracles[key] = rate.NewLimiter(rate.Every(g.interval), p.Burst)
			}
			at := l.start.Add(now)
			before := oracles[key].TokensAt(at)
			want := oracles[key].AllowN(at, cost)
			if near := before - float64(cost); near > -1e-6 && near < 1e-6 {
				t.Skip("a matter of rounding")
			}
			d := g.take(key, cost, now)
			if d.Allowed != want {
				t.Fatalf("%s at %v for %d: granted %v, want %v with %v left", key, now, cost, d.Allowed, want, before)
			}
			after := oracles[key].TokensAt(at)
			if diff := after - float64(d.Remaining); diff < -1e-6 || diff > 1+1e-6 {
				t.Fatalf("%d remaining, want %v", d.Remaining, after)
			}
			if !d.Allowed {
				if !g.peek(key, cost, now+d.RetryAfter) || g.peek(key, cost, now+d.RetryAfter-1) {
					t.Fatalf("retry after %v is not when it would be granted", d.RetryAfter)
				}
			}
			if d.Next < 0 || d.Next > g.interval || d.Remaining < p.Burst && d.Next == 0 {
				t.Fatalf("%d of %d remaining, next in %v", d.Remaining, p.Burst, d.Next)
			}
		}
	})
}

// peek reports whether a request would be granted.
func (g *grant) peek(key string, cost int, now time.Duration) bool {
	ahead, _ := g.clients.take(key, now, 0, 1<<62)
	return ahead+time.Duration(cost)*g.interval <= g.burst
}

// Whatever keys an attacker rotates through, none of them is ever granted more
// than a rate.Limiter of its own would grant it: being forgotten is no gain.
func TestRotatingKeysGainNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{Requests: 10, Burst: rapid.IntRange(1, 5).Draw(t, "burst"), Keys: 1}
		l, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		g := l.active.Load()
		if n := len(g.clients.sets); n != 1 {
			t.Fatalf("%d sets, the test wants one", n)
		}
		oracles := map[string]*rate.Limiter{}
		now := time.Duration(0)
		earliest := time.Duration(0)
		for range 400 {
			now += time.Duration(rapid.IntRange(0, int(50*time.Millisecond)).Draw(t, "later"))
			key := strconv.Itoa(rapid.IntRange(0, 3*ways).Draw(t, "key"))
			if oracles[key] == nil {
				oracles[key] = rate.NewLimiter(rate.Every(g.interval), p.Burst)
			}
			at := l.start.Add(now + time.Microsecond) // a little late is a little generous
			if g.take(key, 1, now).Allowed && !oracles[key].AllowN(at, 1) {
				t.Fatalf("%s at %v is granted more than it would be if it had been remembered", key, now)
			}
			least := g.clients.sets[0].clients[0].paid
			for _, c := range g.clients.sets[0].clients {
				least = min(least, c.paid)
			}
			if least < earliest {
				t.Fatalf("the earliest time went back from %v to %v", earliest, least)
			}
			earliest = least
		}
	})
}

func TestTableSize(t *testing.T) {
	for keys, want := range map[int]int{1: 1, 8: 1, 9: 2, 16: 2, 17: 4, 1000: 128, 1 << 17: 1 << 14, 1_000_000: 1 << 17} {
		table := newTable(keys)
		if len(table.sets) != want {
			t.Errorf("%d keys: %d sets, want %d", keys, len(table.sets), want)
		}
		for i := range 100 {
			table.take(fmt.Sprint(i), 0, 1, 10) // no index is out of range
		}
	}
}

// The keys of a table that is large enough do not meet.
func TestKeysDoNotMeet(t *testing.T) {
	l, err := New(Policy{Requests: 1, Window: time.Hour, Keys: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 10_000 {
		if !l.Take(strconv.Itoa(i), 1).Allowed {
			refused++
		}
	}
	if refused > 100 {
		t.Errorf("%d of 10000 first requests refused, with room for twice as many", refused)
	}
	for i := range 10_000 {
		if l.Take(strconv.Itoa(i), 1).Allowed {
			t.Fatalf("client %d is granted a second request", i)
		}
	}
}
