package balance

// ShadowEjections counts, since the balancer was made, the ejections that
// [Ejection].Shadow has kept from being carried out.
func (b *Balancer) ShadowEjections() uint64 { return b.shadowEjections.Load() }

// ejectShadow notes that e would be ejected now, and left out until then. It
// counts as one that has returned at that moment, so that repeated ejections get
// longer as they would.
func (b *Balancer) ejectShadow(e *Endpoint, until int64) {
	if b.shadowOut == nil {
		b.shadowOut = map[*Endpoint]int64{}
	}
	e.failures.Store(0)
	b.shadowOut[e], e.returned = until, until
	b.shadowEjections.Add(1)
}

// shadowed returns s as it would be if those that would be ejected were.
func (b *Balancer) shadowed(s Stats) Stats {
	now := b.now()
	for e, until := range b.shadowOut {
		switch {
		case until <= now || b.byKey[e.key()] != e:
			delete(b.shadowOut, e)
		case State(e.state.Load()) == Available:
			s.Ejected++
			s.Available--
		}
	}
	return s
}
