package subset

import "time"

// Steady keeps the place of a client while the list that it is read from goes
// back and forth, so that connections do not. A client has no place until the
// first has lasted for Hold: while many clients of a group start at once, each
// sees itself as one of few. From then on it keeps its place until another has
// lasted for Hold, or until its own has been wrong for ten times as long.
//
// The zero value is ready for use. A Steady is for one caller at a time. It reads
// no clock.
type Steady struct {
	// Hold is how long a place must last. Default 30 s.
	Hold time.Duration

	started bool
	used    Client
	seen    Client
	since   time.Time // when seen was first seen
	wrong   time.Time // since when seen has not been used, zero if it is
}

const (
	defaultHold = 30 * time.Second
	mostHolds   = 10 // for which a wrong place is used
)

// Observe tells s that at now the client's place is read as c. It returns the one
// to use, and when to observe again even if nothing has changed, 0 for never.
func (s *Steady) Observe(now time.Time, c Client) (use Client, again time.Duration) {
	if !s.started {
		s.started, s.used = true, Client{Group: c.Group, ID: c.ID}
	}
	if c != s.seen {
		s.seen, s.since = c, now
	}
	if c == s.used {
		s.wrong = time.Time{}
		return s.used, 0
	}
	if s.wrong.IsZero() {
		s.wrong = now
	}
	if left := s.due().Sub(now); left > 0 {
		return s.used, left
	}
	s.used, s.wrong = c, time.Time{}
	return s.used, 0
}

// due returns when seen will be used.
func (s *Steady) due() time.Time {
	hold := s.Hold
	if hold <= 0 {
		hold = defaultHold
	}
	lasted, atMost := s.since.Add(hold), s.wrong.Add(mostHolds*hold)
	if lasted.Before(atMost) {
		return lasted
	}
	return atMost
}
