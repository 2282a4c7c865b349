package transporttest

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gabion-go/gabion/internal/random"
)

// turns gives what begins at one instant an order. Goroutines that run at the
// same instant of a bubble really run at the same time, so which of two calls
// picks its endpoint first would be chance; a nanosecond apart, it is not. Those
// that say the same of themselves are interchangeable.
type turns struct {
	mu      sync.Mutex
	waiting map[int64][]*turn // by the instant at which they came
	last    int64             // the newest instant that was given out
}

type turn struct {
	key string
	at  int64 // the instant that it gets; zero as long as it has none
}

// take waits until it is the turn of whoever says key of itself.
func (t *turns) take(key string) {
	now := time.Now().UnixNano()
	mine := &turn{key: key}
	t.mu.Lock()
	if t.waiting == nil {
		t.waiting = map[int64][]*turn{}
	}
	t.waiting[now] = append(t.waiting[now], mine)
	t.mu.Unlock()
	time.Sleep(time.Nanosecond) // then everybody has come who comes at this instant
	t.mu.Lock()
	if mine.at == 0 {
		t.give(now)
	}
	at := mine.at
	t.mu.Unlock()
	time.Sleep(time.Duration(at - time.Now().UnixNano()))
}

// give hands out an instant within a microsecond to each that came at one. It is
// drawn by hash: calls at a constant rate whose timeout is a multiple of their
// distance would else begin at the very instant at which others time out.
func (t *turns) give(instant int64) {
	all := t.waiting[instant]
	delete(t.waiting, instant)
	for _, one := range all {
		one.at = instant + 2 + int64(random.Hash(uint64(instant), one.key)%1000)
	}
	slices.SortStableFunc(all, func(a, b *turn) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key))
	})
	for _, one := range all {
		one.at = max(one.at, t.last+1)
		t.last = one.at
	}
}

// inTurn is a round tripper whose calls take their turn.
type inTurn struct {
	process *Process
	next    http.RoundTripper
}

// turnTaken is the key of contexts of calls that have had their turn.
type turnTaken struct{}

func (i inTurn) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Context().Value(turnTaken{}) != nil {
		return i.next.RoundTrip(req)
	}
	i.process.host.net.turns.take(i.process.host.name + " " + req.Method + " " + req.URL.String())
	return i.next.RoundTrip(req.WithContext(context.WithValue(req.Context(), turnTaken{}, true)))
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (i inTurn) CloseIdleConnections() {
	if c, ok := i.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
