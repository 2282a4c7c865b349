package report

import (
	"iter"
	"time"
)

// Records are kept in a compact form, 48 to 64 bytes each: strings, of which a
// run has few, as their numbers in a table.

type name uint32

// names numbers strings. A number, once given, stands for its string for good.
type names struct {
	list   []string
	number map[string]name
}

func (n *names) of(s string) name {
	if i, ok := n.number[s]; ok {
		return i
	}
	if n.number == nil {
		n.number = map[string]name{}
	}
	i := name(len(n.list))
	n.number[s] = i
	n.list = append(n.list, s)
	return i
}

type call struct {
	start, end, deadline        time.Duration
	n                           int
	client, service, route, err name
	attempts                    uint32
	status                      int32
	ok, degraded                bool
}

type attempt struct {
	start, end                          time.Duration
	n                                   int
	client, service, replica, kind, err name
	status                              int32
	ok                                  bool
}

type served struct {
	start, end, work time.Duration
	service, replica name
	status           int32
	late             bool
}

// chunk is how many records are allocated at once.
const chunk = 1024

// list is an append-only list that never moves what it holds, so that a copy
// of the list is a snapshot of it that may be read while the list grows.
type list[T any] struct {
	chunks [][]T
	n      int
}

func (l *list[T]) add(v T) {
	if l.n%chunk == 0 {
		l.chunks = append(l.chunks, make([]T, 0, chunk))
	}
	last := &l.chunks[len(l.chunks)-1]
	*last = append(*last, v)
	l.n++
}

// snapshot returns the list as it is now.
func (l *list[T]) snapshot() list[T] {
	s := list[T]{append([][]T(nil), l.chunks...), l.n}
	return s
}

// all yields pointers to the elements, in the order in which they were added.
func (l *list[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, c := range l.chunks {
			for i := range c {
				if !yield(&c[i]) {
					return
				}
			}
		}
	}
}
