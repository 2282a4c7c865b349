package gossip

import (
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/internal/feed"
)

// What is kept of nodes that are not members: one that comes back, or whose
// record overtook the news of its arrival, need not be asked again.
const (
	keepGone = 10 * time.Minute
	maxGone  = 1024
)

// secondOpinion is for how long a node still counts that others have declared
// dead: one that is alive hears of it and objects well within that time. It
// keeps a member that cannot hear well from taking the others for dead, and
// everybody's lists from flapping.
const secondOpinion = 500 * time.Millisecond

// A catalog holds what every node announces and which nodes are alive, and
// feeds the lists that follow from it. It calls nothing but its feed, so
// memberlist's callbacks may use it whatever locks they hold.
type catalog struct {
	self string // this node's name
	feed *feed.Feed

	mu      sync.Mutex
	nodes   map[string]*node
	alive   int
	closed  bool
	offered map[string]bool // the services that the feed has a list of
}

type node struct {
	record record
	addr   memberlist.Address // where it was last seen to join
	alive  bool
	since  time.Time   // when alive last changed
	doubt  *time.Timer // runs while the news of its death is fresh
	doubts int         // how many times it ran
}

func newCatalog(self string, f *feed.Feed) *catalog {
	return &catalog{self: self, feed: f, nodes: map[string]*node{}, offered: map[string]bool{}}
}

// merge takes over the records that are newer than what is known, and returns
// those.
func (c *catalog) merge(records ...record) (news []record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	visible := false
	for _, r := range records {
		n := c.node(r.node)
		if r.newerThan(n.record.version) {
			n.record = r
			news = append(news, r)
			visible = visible || n.alive
		}
	}
	if visible {
		c.rebuild()
	}
	return news
}

// knows returns the version of what node announces, zero when unknown.
func (c *catalog) knows(node string) version {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[node]; n != nil {
		return n.record.version
	}
	return version{}
}

// joined notes that a node is alive at addr.
func (c *catalog) joined(addr memberlist.Address) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(addr.Name)
	n.addr = addr
	n.trust()
	if !n.alive {
		n.alive, n.since = true, time.Now()
		c.alive++
		c.rebuild()
	}
}

// left notes that a node has left, or was declared dead: memberlist does not
// say which. One that leaves in order has taken its instances out before; with
// any other the second opinion is waited for.
func (c *catalog) left(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[name]
	switch {
	case n == nil || !n.alive || n.doubt != nil || c.closed:
	case len(n.record.instances) == 0:
		c.bury(n)
	default:
		n.doubts++
		doubt := n.doubts
		n.doubt = time.AfterFunc(secondOpinion, func() { c.giveUp(n, doubt) })
	}
}

// giveUp ends a doubt that nobody has dispelled.
func (c *catalog) giveUp(n *node, doubt int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.doubt != nil && n.doubts == doubt && !c.closed {
		n.trust()
		c.bury(n)
	}
}

// bury takes a node out. c.mu is held.
func (c *catalog) bury(n *node) {
	n.alive, n.since = false, time.Now()
	c.alive--
	c.rebuild()
}

// trust ends a doubt without a consequence.
func (n *node) trust() {
	if n.doubt != nil {
		n.doubt.Stop()
		n.doubt = nil
	}
}

// close ends all doubts.
func (c *catalog) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, n := range c.nodes {
		n.trust()
	}
}

// peers returns where the other nodes that are alive can be reached.
func (c *catalog) peers() []memberlist.Address {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []memberlist.Address
	for name, n := range c.nodes {
		if n.alive && name != c.self {
			out = append(out, n.addr)
		}
	}
	return out
}

// address returns where a node that is alive can be reached.
func (c *catalog) address(name string) (addr string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[name]; n != nil && n.alive {
		return n.addr.Addr, true
	}
	return "", false
}

// members returns how many nodes are alive, this one included.
func (c *catalog) members() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive
}

// records returns what the nodes that are alive announce.
func (c *catalog) records() []record {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []record
	for _, n := range c.nodes {
		if n.alive && n.record.node != "" {
			out = append(out, n.record)
		}
	}
	return out
}

// node returns the entry of a node, made on demand. c.mu is held.
func (c *catalog) node(name string) *node {
	n := c.nodes[name]
	if n == nil {
		c.makeRoom()
		n = &node{since: time.Now()}
		c.nodes[name] = n
	}
	return n
}

// makeRoom forgets nodes that have been gone for long, and one more when too
// many of them are left. c.mu is held.
func (c *catalog) makeRoom() {
	oldest, gone := "", 0
	for name, n := range c.nodes {
		switch {
		case n.alive:
		case time.Since(n.since) > keepGone:
			delete(c.nodes, name)
		default:
			gone++
			if oldest == "" || n.since.Before(c.nodes[oldest].since) {
				oldest = name
			}
		}
	}
	if gone >= maxGone {
		delete(c.nodes, oldest)
	}
}

// rebuild feeds the list of every service. c.mu is held.
func (c *catalog) rebuild() {
	claims := c.claims()
	lists := map[string][]discovery.Instance{}
	for _, n := range c.nodes {
		if !n.alive {
			continue
		}
		for _, in := range n.record.instances {
			if in.status != discovery.Critical && claims.hold(n, in) {
				lists[in.Service] = append(lists[in.Service], in.Instance)
			}
		}
	}
	for service := range c.offered {
		if lists[service] == nil {
			c.feed.Set(service, nil)
			delete(c.offered, service)
		}
	}
	for service, list := range lists {
		c.feed.Set(service, list)
		c.offered[service] = true
	}
}

// claims says to which node an ID and an address belong. When two nodes name
// the same, one of them is a process that died and was not missed yet: the
// newer has its ID or its port now, perhaps for another service.
type claims struct{ ids, addrs map[string]*node }

func (c *catalog) claims() claims {
	cl := claims{ids: map[string]*node{}, addrs: map[string]*node{}}
	for _, n := range c.nodes {
		if !n.alive {
			continue
		}
		for _, in := range n.record.instances {
			claim(cl.ids, in.ID, n)
			claim(cl.addrs, in.Addr, n)
		}
	}
	return cl
}

func claim(owners map[string]*node, what string, n *node) {
	if o := owners[what]; o == nil || n.startedAfter(o) {
		owners[what] = n
	}
}

func (cl claims) hold(n *node, in announced) bool {
	return cl.ids[in.ID] == n && cl.addrs[in.Addr] == n
}

// startedAfter reports whether n's process is younger than o's.
func (n *node) startedAfter(o *node) bool {
	if n.record.epoch != o.record.epoch {
		return n.record.epoch > o.record.epoch
	}
	return strings.Compare(n.record.node, o.record.node) > 0
}
