package transporttest

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// sendBuffer is how much a writer can be ahead of the reader, as with a
// socket's buffers.
const sendBuffer = 256 << 10

// A stream is one direction of a connection: pieces of data, each with the
// time at which it arrives. It has no goroutine; whoever reads waits for the
// next arrival himself.
type stream struct {
	route *route // whence and whither, which decides how long data takes

	mu      *sync.Mutex // of the connection
	back    *stream     // the other direction
	pieces  []piece
	size    int       // bytes in pieces
	last    time.Time // when the newest piece arrives
	sent    time.Time // when it was sent
	free    time.Time // when a slow link can take the next byte
	rate    int       // of the link when that was worked out
	cut     ends      // when the connection is broken for the two ends
	dead    bool      // swallowed by a black hole: nothing arrives any more
	bulk    bool      // HTTP/2, which bounds itself: a writer never waits
	readEnd bool      // the reader has closed
	sendEnd bool      // the writer has closed
	readBy  time.Time // deadlines
	sendBy  time.Time
	changed chan struct{} // closed when any of this changes
}

// piece is some data on its way; no data is the end of the stream.
type piece struct {
	data    []byte
	fin     bool
	sent    time.Time
	leaves  time.Time // a slow link takes it later
	arrives time.Time
	held    hold
}

// hold says why a piece has no time of arrival yet.
type hold int8

const (
	moving      hold = iota
	partitioned      // sent again by TCP's timer until the partition ends
	frozen           // the sender is paused
)

// ends are times for the two ends of a stream; zero is never.
type ends struct{ reader, writer time.Time }

// newStreams returns the two directions of a connection.
func newStreams(there, back *route) (up, down *stream) {
	mu := new(sync.Mutex)
	up = &stream{route: there, mu: mu, changed: make(chan struct{})}
	down = &stream{route: back, mu: mu, changed: make(chan struct{}), back: up}
	up.back = down
	return up, down
}

// change wakes whoever waits. The lock must be held.
func (s *stream) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait is what somebody waits for: one of two channels to be closed, or a time.
type wait struct {
	changed, thawed <-chan struct{}
	until           time.Time // zero is for ever
}

// soonest makes w end at t, if that is set and earlier.
func (w *wait) soonest(t time.Time) {
	if !t.IsZero() && (w.until.IsZero() || t.Before(w.until)) {
		w.until = t
	}
}

func (w *wait) await() {
	var alarm <-chan time.Time
	if !w.until.IsZero() {
		t := time.NewTimer(time.Until(w.until))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-w.changed:
	case <-w.thawed:
	case <-alarm:
	}
}

// read waits for data and copies it to b.
func (s *stream) read(b []byte) (int, error) {
	for {
		var w wait
		n, err := s.take(b, &w)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		w.await()
	}
}

// take copies what has arrived. If there is nothing it says what to wait for.
func (s *stream) take(b []byte, w *wait) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.readEnd:
		return 0, net.ErrClosed
	case passed(s.readBy, now):
		return 0, os.ErrDeadlineExceeded
	}
	w.changed = s.changed
	w.soonest(s.readBy)
	thawed, woke := s.route.to.sleep()
	if w.thawed = thawed; thawed != nil {
		return 0, nil
	}
	if ready := woke.Add(s.route.stagger()); now.Before(ready) {
		w.soonest(ready)
		return 0, nil
	}
	by, reset := now, passed(s.cut.reader, now)
	if reset {
		by = s.cut.reader // what came before can be read, as with Linux
	}
	switch {
	case s.arrived(by) && !s.pieces[0].fin:
		return s.consume(b, by), nil
	case s.arrived(by) && !(reset && s.pieces[0].arrives.Equal(by)):
		return 0, io.EOF
	case reset:
		return 0, syscall.ECONNRESET
	}
	w.soonest(s.cut.reader)
	if len(s.pieces) > 0 && s.pieces[0].held == moving {
		w.soonest(s.pieces[0].arrives)
	}
	return 0, nil
}

// arrived reports whether the first piece has arrived by then.
func (s *stream) arrived(by time.Time) bool {
	return len(s.pieces) > 0 && s.pieces[0].held == moving && !by.Before(s.pieces[0].arrives)
}

// consume moves to b what has arrived by then.
func (s *stream) consume(b []byte, by time.Time) int {
	n := 0
	for n < len(b) && s.arrived(by) && !s.pieces[0].fin {
		p := &s.pieces[0]
		m := copy(b[n:], p.data)
		n += m
		if p.data = p.data[m:]; len(p.data) == 0 {
			s.pieces[0] = piece{}
			s.pieces = s.pieces[1:]
		}
	}
	full := s.size >= sendBuffer
	if s.size -= n; full {
		s.change() // the writer may go on
	}
	return n
}

// write sends b, waiting while the buffer is full.
func (s *stream) write(b []byte) (int, error) {
	sent := 0
	for {
		var w wait
		n, err := s.put(b[sent:], &w)
		sent += n
		if err != nil || sent == len(b) {
			return sent, err
		}
		w.await()
	}
}

// put sends as much of b as there is room for. If that is not all it says what
// to wait for.
func (s *stream) put(b []byte, w *wait) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.sendEnd:
		return 0, net.ErrClosed
	case passed(s.sendBy, now):
		return 0, os.ErrDeadlineExceeded
	case passed(s.cut.writer, now):
		return 0, syscall.EPIPE
	}
	w.changed = s.changed
	w.soonest(s.sendBy)
	w.soonest(s.cut.writer)
	room := len(b)
	if !s.bulk {
		room = min(room, sendBuffer-s.size)
	}
	if room > 0 {
		s.send(b[:room], false, now)
		return room, nil
	}
	return 0, nil
}

// send puts data on its way. The lock must be held.
func (s *stream) send(data []byte, fin bool, now time.Time) {
	if s.dead {
		s.size += len(data) // nobody acknowledges it
		return
	}
	if s.readEnd && (fin || s.refuse(now)) {
		return
	}
	for {
		part := data
		if rate := s.route.rate(); rate > 0 && len(data) > 0 {
			part = data[:min(len(data), max(1, rate/10))] // ten pieces a second
		}
		p := piece{data: append([]byte(nil), part...), fin: fin, sent: now, leaves: s.leave(len(part), now)}
		if !s.dispatch(&p, now) {
			return
		}
		s.pieces = append(s.pieces, p)
		s.size += len(part)
		if data = data[len(part):]; len(data) == 0 {
			break
		}
	}
	s.change()
}

// leave returns when a link, which may be slow, has taken n more bytes.
func (s *stream) leave(n int, now time.Time) time.Time {
	s.rate = s.route.rate()
	if s.rate > 0 {
		s.free = later(s.free, now).Add(time.Duration(n) * time.Second / time.Duration(s.rate))
	}
	return later(now, s.free)
}

// refuse answers data that nobody reads by a reset. It reports false if the data
// is held on its way.
func (s *stream) refuse(now time.Time) bool {
	fate := s.route.fate(now)
	if fate.held != moving {
		return false
	}
	if !fate.swallowed {
		s.breakForWriter(now.Add(2 * fate.delay))
	}
	return true
}

// breakForWriter breaks the connection, both directions, for the end that
// writes here.
func (s *stream) breakForWriter(at time.Time) {
	s.breakAt(ends{writer: at})
	s.back.breakAt(ends{reader: at})
}

// dispatch decides when p arrives. It reports false if it never does.
func (s *stream) dispatch(p *piece, now time.Time) bool {
	fate := s.route.fate(now)
	switch {
	case fate.swallowed:
		s.dead = true
		s.pieces, s.size = nil, 0
		return false
	case fate.reset:
		at := now.Add(fate.delay)
		s.breakAt(ends{at, at})
		return false
	}
	if p.held = fate.held; p.held != moving {
		return true
	}
	s.arrive(p, p.leaves.Add(fate.delay))
	return true
}

// arrive has p arrive at that time, or right after those before it: at the same
// instant only if it was sent so.
func (s *stream) arrive(p *piece, at time.Time) {
	if after := s.last.Add(1); at.Before(after) && !p.sent.Equal(s.sent) {
		at = after
	}
	p.arrives = later(at, s.last)
	s.last, s.sent = p.arrives, p.sent
}

// hurry gives pieces that a slow link has not taken yet a new time of arrival,
// if it is not as slow any more. It reports whether there are any. The lock must
// be held.
func (s *stream) hurry(now time.Time) bool {
	if s.rate == s.route.rate() {
		return false
	}
	s.free = time.Time{}
	first := slices.IndexFunc(s.pieces, func(p piece) bool { return p.held == moving && p.leaves.After(now) })
	if first < 0 {
		return false
	}
	s.last = now
	if first > 0 {
		s.last = s.pieces[first-1].arrives
	}
	fate := s.route.fate(now)
	for i := range s.pieces[first:] {
		p := &s.pieces[first+i]
		p.leaves = s.leave(len(p.data), now)
		if p.held == moving {
			p.held = fate.held
		}
		if p.held == moving {
			s.arrive(p, p.leaves.Add(fate.delay))
		}
	}
	return true
}

// release gives pieces that were held, or that waited for a slow link, a time of
// arrival, if nothing keeps them any more.
func (s *stream) release(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := s.hurry(now)
	for i := range s.pieces {
		p := &s.pieces[i]
		if p.held == moving {
			continue
		}
		was := p.held
		fate := s.route.fate(now)
		if fate.held != moving {
			break
		}
		p.held, moved = moving, true
		leaves := now
		if was == partitioned {
			leaves = resent(p.sent, now)
		}
		s.arrive(p, leaves.Add(fate.delay))
	}
	if moved {
		s.change()
	}
	if moved && s.readEnd {
		s.pieces, s.size = nil, 0
		s.breakForWriter(s.last.Add(s.back.route.fate(now).delay))
	}
}

// firstResend is TCP's shortest pause before it sends data again.
const firstResend = 200 * time.Millisecond

// resent returns when TCP, which sends again after 200 ms and then after twice
// as long, up to 2 min, sends the first time at or after now.
func resent(sent, now time.Time) time.Time {
	pause := firstResend
	for t := sent.Add(pause); ; t = t.Add(pause) {
		if !t.Before(now) {
			return t
		}
		pause = min(2*pause, 2*time.Minute)
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// passed reports whether t, unless it is never, is not after now.
func passed(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// breakAt breaks the connection for one or both ends, unless that happens
// earlier anyway. The lock must be held.
func (s *stream) breakAt(at ends) {
	first := func(old *time.Time, t time.Time) {
		if !t.IsZero() && (old.IsZero() || t.Before(*old)) {
			*old = t
		}
	}
	first(&s.cut.reader, at.reader)
	first(&s.cut.writer, at.writer)
	s.change()
}

// reset is breakAt for those who do not hold the lock.
func (s *stream) reset(at ends) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breakAt(at)
}

// kill makes the stream swallow everything from now on.
func (s *stream) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
	s.pieces, s.size = nil, 0
	s.change()
}

// finish closes the writing end: the reader gets the data and then the end.
func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sendEnd {
		return
	}
	s.sendEnd = true
	s.send(nil, true, time.Now())
	s.change() // whoever writes gives up
}

// cease ends the writing end at once: what has not left yet never will.
func (s *stream) cease() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendEnd = true
	now := time.Now()
	for i, p := range s.pieces {
		if p.held != moving || p.leaves.After(now) {
			s.pieces = s.pieces[:i]
			break
		}
	}
}

// lost reports whether a packet without data, such as a reset, gets lost, and
// else how long it takes.
func (s *stream) lost() (delay time.Duration, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fate := s.route.fate(time.Now())
	return fate.delay, s.dead || fate.swallowed || fate.held == partitioned
}

// abandon closes the reading end. It reports whether data was left unread.
func (s *stream) abandon() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readEnd {
		return false
	}
	s.readEnd = true
	left := s.size > 0 && !s.dead
	s.pieces, s.size = nil, 0
	s.change()
	return left
}

func (s *stream) setReadDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readBy = t
	s.change()
}

func (s *stream) setSendDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendBy = t
	s.change()
}

// unbounded lets writers be ahead of the reader by any amount.
func (s *stream) unbounded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bulk = true
}
