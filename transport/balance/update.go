package balance

import (
	"time"

	"github.com/gabion-go/gabion/discovery"
)

const (
	// memory is how long the statistics of an instance that has left are kept,
	// should it come back: a registry that loses an instance for a moment must
	// not make a sick one look new.
	memory = time.Minute
	// maxRemembered bounds how many are kept, whatever comes and goes.
	maxRemembered = 1024
)

// Update makes list the endpoints. An endpoint with an ID and address that were
// there before keeps everything that was learnt about it, and a list that says
// nothing new changes nothing. One that is gone gets no new calls; those in
// flight there go on. If it comes back within a minute it is the same Endpoint,
// and starts slowly. An ID at a new address is a process that has been
// restarted: a new Endpoint, which inherits only how often it was ejected. Of
// instances with the same ID the first counts; an empty ID stands for the
// address.
//
// Update keeps list, which must not be changed afterwards. It takes a time that
// is proportional to its length; picks go on meanwhile.
func (b *Balancer) Update(list []discovery.Instance) {
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	b.list = list
	b.rebuild(b.now())
}

// rebuild makes the endpoints of the last list anew: the list, the policy or
// the peers have changed. The lock must be held.
func (b *Balancer) rebuild(now int64) {
	old := b.all
	b.generation++
	b.merge(b.narrow(b.list), now)
	for _, e := range old {
		if e.generation != b.generation {
			b.depart(e, now)
		}
	}
	b.filled = b.filled || len(b.all) > 0
	b.forget(now)
	b.refresh()
}

// merge finds or makes the endpoints of list. Lists change little from one to
// the next, so each is first looked for where it was.
func (b *Balancer) merge(list []discovery.Instance, now int64) {
	old := b.all
	all := make([]*Endpoint, 0, max(len(list), len(old)))
	at := 0 // in old
	for i := range list {
		in := &list[i]
		key := instanceKey(in)
		var e *Endpoint
		if at < len(old) && old[at].key() == key {
			e = old[at]
			at++
		} else if e = b.byKey[key]; e != nil && at+1 < len(old) && old[at+1] == e {
			at += 2 // one has left
		}
		if e != nil && e.generation == b.generation {
			continue // a second one with this ID
		}
		if e == nil || e.Addr() != in.Addr {
			e = b.arrive(in, key, e, now)
		}
		e.instance.Store(in)
		e.generation = b.generation
		if e.drained.Load() != (in.Weight < 0) {
			e.drained.Store(in.Weight < 0)
		}
		all = append(all, e)
	}
	b.all = all
}

// arrive makes the endpoint of an instance that was not there before, or was
// at another address, or takes it out of memory. All of a first list start at
// once.
func (b *Balancer) arrive(in *discovery.Instance, key string, before *Endpoint, now int64) *Endpoint {
	e := b.recall(key, now)
	if e != nil && e.Addr() != in.Addr {
		e, before = nil, e
	}
	if e == nil {
		e = &Endpoint{balancer: b}
		e.instance.Store(in)
		if before != nil {
			b.forgive(before, now)
			e.ejections, e.returned = before.ejections, now
		}
	}
	b.byKey[key] = e
	if b.filled {
		b.startSlowly(e, now)
	}
	b.tell(b.observer.Joined, e)
	return e
}

// depart takes e out of service.
func (b *Balancer) depart(e *Endpoint, now int64) {
	e.drained.Store(true)
	in := e.Instance()
	e.instance.Store(&in) // or it would keep the whole list that it was in
	if key := e.key(); b.byKey[key] == e {
		delete(b.byKey, key)
		e.gone = now
		b.remembered[key] = e
	}
	b.tell(b.observer.Departed, e)
}

// recall returns the endpoint with this key that has left lately, if there is
// one, and forgets it.
func (b *Balancer) recall(key string, now int64) *Endpoint {
	e := b.remembered[key]
	delete(b.remembered, key)
	if e == nil || now-e.gone > int64(memory) {
		return nil
	}
	e.failures.Store(0) // whatever ended while it was away was not in a row
	e.refusals.Store(0)
	e.before = e.counts()
	if b.policy.Ejection.Disabled { // perhaps only since it left
		e.state.CompareAndSwap(int32(Ejected), int32(Available))
	}
	return e
}

// forget drops what has been gone for long, and whatever is too much.
func (b *Balancer) forget(now int64) {
	for key, e := range b.remembered {
		if now-e.gone > int64(memory) || len(b.remembered) > max(maxRemembered, len(b.all)) {
			delete(b.remembered, key)
		}
	}
}
