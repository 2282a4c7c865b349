package sim

import "time"

// A handler is what an event is about. It may have several events and tells
// them apart by the pointer.
type handler interface{ happen(*event) }

// An event is to happen at a time. It is part of what handles it, so that
// planning it allocates nothing.
type event struct {
	handler handler
	place   int // in the agenda, from 1; 0: not planned
}

// agenda holds what is to come, a heap by time and then by the order of
// planning, four children to a node: flat, and few cache lines to touch.
type agenda struct {
	heap    []entry
	planned uint64
}

type entry struct {
	at    time.Duration
	order uint64
	event *event
}

func (e *entry) before(f *entry) bool {
	return e.at < f.at || e.at == f.at && e.order < f.order
}

// plan puts e on the agenda, or moves it if it is there.
func (a *agenda) plan(e *event, at time.Duration, h handler) {
	a.cancel(e)
	e.handler = h
	a.planned++
	a.heap = append(a.heap, entry{at, a.planned, e})
	a.up(len(a.heap) - 1)
}

// cancel takes e off the agenda if it is there.
func (a *agenda) cancel(e *event) {
	if e.place == 0 {
		return
	}
	i, last := e.place-1, len(a.heap)-1
	e.place = 0
	moved := a.heap[last]
	a.heap[last] = entry{}
	a.heap = a.heap[:last]
	if i == last {
		return
	}
	a.heap[i] = moved
	a.down(i)
	a.up(moved.event.place - 1)
}

// next takes off what is first. There must be something.
func (a *agenda) next() (time.Duration, *event) {
	first := a.heap[0]
	a.cancel(first.event)
	return first.at, first.event
}

func (a *agenda) up(i int) {
	e := a.heap[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&a.heap[parent]) {
			break
		}
		a.put(i, a.heap[parent])
		i = parent
	}
	a.put(i, e)
}

func (a *agenda) down(i int) {
	e := a.heap[i]
	for {
		first := 4*i + 1
		if first >= len(a.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(a.heap)); c++ {
			if a.heap[c].before(&a.heap[least]) {
				least = c
			}
		}
		if !a.heap[least].before(&e) {
			break
		}
		a.put(i, a.heap[least])
		i = least
	}
	a.put(i, e)
}

func (a *agenda) put(i int, e entry) {
	a.heap[i] = e
	e.event.place = i + 1
}
