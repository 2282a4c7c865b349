package ratelimit

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// reason is what metrics call a refusal.
const reason = "rate"

// herd is by how much, at most, Retry-After is more than needed where clients
// share what is granted: told the same time they would all be back at once.
const herd = 2 * time.Second

// Handler returns a handler that passes on to h the requests that are granted
// and refuses the others. All handlers of one limiter share what it grants.
//
// Responses get the fields RateLimit-Policy and RateLimit, added to those that
// outer limiters have set. What an outer limiter granted stays used when an
// inner one refuses: put the one that refuses more outside.
//
// A refusal is 429 with a problem document that names the policy, and
// Retry-After in seconds, rounded up; with [PerAll] up to 2 s more, at random.
func (l *Limiter) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cost := 1
		if l.cfg.cost != nil {
			cost = l.cfg.cost(r)
		}
		key, g := "", l.active.Load()
		if g.all == nil {
			key = l.cfg.key(r)
		}
		d := g.take(key, cost, time.Since(l.start))
		if l.cfg.observe != nil {
			l.cfg.observe(r, d)
		}
		header := w.Header()
		header.Add(headerPolicy, g.texts.policy)
		header.Add(headerLimit, g.texts.limit(d))
		if d.Allowed {
			h.ServeHTTP(w, r)
			return
		}
		transport.MarkShed(r.Context(), reason)
		g.refuse(w, r, d)
	})
}

func (g *grant) refuse(w http.ResponseWriter, r *http.Request, d Decision) {
	wait := d.RetryAfter
	if g.all != nil {
		wait += rand.N(herd)
	}
	h := w.Header()
	h.Set("Retry-After", strconv.FormatInt(seconds(wait), 10))
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusTooManyRequests)
	if r.Method != http.MethodHead {
		_, _ = w.Write(g.texts.problem) // the client is gone: nobody is left to tell
	}
}
