package sim

import (
	"fmt"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// service is the servers of one name, with the registry of those in the list.
type service struct {
	run     *run
	name    string
	servers []*server
	byAddr  map[string]*server // old addresses too
	callers []*caller

	publication event
	published   time.Duration // when the last list was made
	list        *list
}

// list is one list of the servers. It never changes.
type list struct {
	version   uint64
	instances []discovery.Instance
	servers   []int
}

// addServers makes the servers of one group.
func (r *run) addServers(g *Servers) {
	s := r.services[g.Service]
	if s == nil {
		s = &service{run: r, name: g.Service, byAddr: map[string]*server{}, list: &list{}}
		r.services[g.Service] = s
	}
	for i := range g.Count {
		s.servers = append(s.servers, newServer(s, g, i))
	}
	s.makeList()
}

// makeList makes the list of the servers that are in it now.
func (s *service) makeList() {
	l := &list{version: s.list.version + 1}
	for i, v := range s.servers {
		if v.absent > 0 {
			continue
		}
		l.instances = append(l.instances, discovery.Instance{ID: v.name, Service: s.name, Addr: v.addr, Weight: v.kind.Weight})
		l.servers = append(l.servers, i)
	}
	s.list, s.published = l, s.run.now
}

// changed sees to it that clients learn of a change.
func (s *service) changed() {
	if s.publication.place == 0 {
		s.run.agenda.plan(&s.publication, max(s.run.now, s.published+s.run.Lists.Every), s)
	}
}

// happen makes a list and sends it to all clients.
func (s *service) happen(*event) {
	s.makeList()
	for _, c := range s.callers {
		d := s.run.Lists.Delay.At(s.run.chance("list", c.id, s.list.version))
		if d == 0 {
			c.learn(s.list)
			continue
		}
		n := &news{caller: c, list: s.list}
		s.run.agenda.plan(&n.arrival, s.run.now+d, n)
	}
}

// news is a list on its way to a client.
type news struct {
	caller  *caller
	list    *list
	arrival event
}

func (n *news) happen(*event) { n.caller.learn(n.list) }

// rename gives a server the address of its next life. Who asks at an old one is
// refused.
func (s *service) rename(v *server) {
	v.lives++
	v.addr = fmt.Sprintf("%s:%d", v.name, v.lives)
	s.byAddr[v.addr] = v
}
