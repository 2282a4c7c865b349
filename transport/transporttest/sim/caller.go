package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/internal/random"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/balance/subset"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// caller is one client of one service: what transport's client keeps for it.
type caller struct {
	run      *run
	service  *service
	name     string
	id       uint64
	policy   *transport.Policy
	breaker  *breaker.Breaker
	balancer *balance.Balancer // nil if there is a picker
	picker   Picker
	bulkhead *limit.Bulkhead
	budget   *retry.Budget
	floor    retry.Floor
	hedger   *retry.Hedger // nil if nothing is hedged
	calm     time.Duration // until when nothing is hedged
	rand     rand.Source   // of backoffs
	probes   uint64        // sent
	version  uint64        // of the list that it has

	instances []discovery.Instance // of that list
}

// errServer stands for an error status where an error is wanted, errBusy for one
// that says that the request was shed.
var (
	errServer = errors.New("sim: server error")
	errBusy   = errors.New("sim: request shed")
)

// classify tells the breaker what an error means, as transport does.
func classify(err error) breaker.Outcome {
	switch {
	case errors.Is(err, errBusy):
		return breaker.Busy
	case errors.Is(err, balance.ErrNoInstances):
		return breaker.Ignored
	default:
		return breaker.Failure
	}
}

// callersOf returns the clients of a group as callers of a service, made if
// they have not been yet.
func (r *run) callersOf(group, service string) ([]*caller, error) {
	g := r.group(group)
	s := r.services[service]
	var list []*caller
	for _, c := range s.callers {
		if c.policy == &g.Policy {
			list = append(list, c)
		}
	}
	for i := len(list); i < g.Count; i++ {
		c, err := r.newCaller(g, i, s)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func (r *run) group(name string) *Clients {
	for i := range r.Clients {
		if r.Clients[i].Name == name {
			return &r.Clients[i]
		}
	}
	return nil
}

func (r *run) newCaller(g *Clients, i int, s *service) (*caller, error) {
	c := &caller{
		run: r, service: s, name: numbered(g.Name, i), id: uint64(len(r.callers)), policy: &g.Policy,
		bulkhead: limit.NewBulkhead(g.Policy.Limit.Max()),
	}
	seed := random.Hash(r.Seed, "client "+c.name+" "+s.name)
	source := func(use string) rand.Source { return random.New(random.Hash(seed, use)) }
	c.rand = source("retry")
	var err1, err2, err3, err4 error
	c.breaker, err1 = breaker.New(s.name, breaker.WithSettings(g.Policy.Breaker), breaker.WithClassifier(classify),
		breaker.WithRand(source("breaker")), breaker.WithSubscriber(c.breakerChanged))
	c.budget, err2 = retry.NewBudget(g.Policy.Retry.Budget)
	c.hedger, err4 = newHedger(g)
	if g.Picker != "" {
		c.picker = r.pickers[g.Picker](View{s}, source("balance"))
	} else {
		c.balancer, err3 = balance.New(g.Policy.Balance, balance.WithRand(source("balance")), balance.WithObserver(c.observer()),
			balance.WithProber(c.probe))
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if c.balancer != nil { // the clients of a group know of each other
		c.balancer.SetPeers(balance.Peers{Place: subset.Client{Group: g.Name, ID: c.name, Ordinal: i, Count: g.Count}})
	}
	c.learn(s.list)
	s.callers = append(s.callers, c)
	r.callers = append(r.callers, c)
	return c, nil
}

// learn takes in a list, unless there has been a newer one.
func (c *caller) learn(l *list) {
	if l.version <= c.version {
		return
	}
	c.version = l.version
	c.run.stats.Lists++
	if c.picker != nil {
		c.picker.Update(l.servers)
		return
	}
	if renewed := brings(c.instances, l.instances); renewed && c.breaker.State() == breaker.Open {
		c.breaker.ProbeSoon()
	}
	c.instances = l.instances
	c.balancer.Update(l.instances)
}

// brings is transport's: whether list has an instance that old has not, or that
// has moved.
func brings(old, list []discovery.Instance) bool {
	addrs := make(map[string]string, len(old))
	for i := range old {
		addrs[old[i].ID] = old[i].Addr
	}
	return slices.ContainsFunc(list, func(in discovery.Instance) bool { return addrs[in.ID] != in.Addr })
}

// breakerChanged runs in whichever goroutine changed the breaker; the run's
// waits meanwhile.
func (c *caller) breakerChanged(e breaker.Event) {
	if e.To == breaker.Open {
		c.run.stats.Opened++
	}
	if c.run.Events {
		at := c.run.recorder.Since(e.At)
		c.run.recorder.Event(report.Event{At: at, Kind: report.Breaker, Subject: c.name + ">" + c.service.name, Detail: e.To.String()})
	}
}

func (c *caller) observer() balance.Observer {
	note := func(kind string, e *balance.Endpoint, detail string) {
		if c.run.Events {
			c.run.note(kind, c.name+">"+e.ID(), detail)
		}
	}
	return balance.Observer{
		Ejected: func(e *balance.Endpoint, why balance.Reason) {
			c.run.stats.Ejected++
			note(report.Eject, e, string(why))
		},
		Returned: func(e *balance.Endpoint) { note(report.Return, e, "") },
		Panic: func(on bool) {
			if c.run.Events && on {
				c.run.note(report.Panic, c.name+">"+c.service.name, "")
			}
		},
	}
}

// background is the context of callers, who never cancel: their deadlines are
// events.
var background = context.Background()
