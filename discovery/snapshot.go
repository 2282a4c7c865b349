package discovery

import "time"

// A Snapshot is what is known of a service at one moment. It is immutable and
// shared by everybody who asks: whoever wants to sort or cut Instances does so
// on a copy.
type Snapshot struct {
	// Instances is the list in the order of [Sort]; empty but never nil when
	// nobody offers the service.
	Instances []Instance
	// Version moves by one whenever Instances changed, and only then.
	Version uint64
	// Updated is when the registry last answered.
	Updated time.Time
	// Err is why the list may be out of date, nil while it is not. It is the
	// registry's failure, or [ErrVanished]; Instances is the last good list.
	Err error
	// FailingSince is when Err came up, zero while Err is nil.
	FailingSince time.Time
}

// Age returns for how long at now the list has been doubtful: zero while Err
// is nil. It counts from the first failure and not from the last answer,
// because a watch that says nothing says that nothing has changed.
func (s *Snapshot) Age(now time.Time) time.Duration {
	if s.Err == nil {
		return 0
	}
	return max(0, now.Sub(s.FailingSince))
}

// answered returns the snapshot after the registry said list, which it keeps.
// A nil s is what was known before the first answer. A list that says the same
// as before leaves the old slice in place and the version alone.
func (s *Snapshot) answered(list []Instance, now time.Time) *Snapshot {
	if s == nil {
		return &Snapshot{Instances: list, Version: 1, Updated: now}
	}
	if sameInstances(s.Instances, list) {
		return &Snapshot{Instances: s.Instances, Version: s.Version, Updated: now}
	}
	return &Snapshot{Instances: list, Version: s.Version + 1, Updated: now}
}

// doubted returns the snapshot after the registry failed with err: the same
// list. A nil s stays nil.
func (s *Snapshot) doubted(err error, now time.Time) *Snapshot {
	if s == nil {
		return nil
	}
	d := *s
	if d.Err == nil {
		d.FailingSince = now
	}
	d.Err = err
	return &d
}
