package sim

import (
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// A probe asks a server for its load. It is answered at once by a server that
// tells it at all, but has to go there and back.
type probe struct {
	server   *server
	endpoint *balance.Endpoint
	back     time.Duration // how long the way back takes
	load     balance.Load
	transit  event // the end of a way
	answered bool
}

// probe sends a probe to where e is.
func (c *caller) probe(e *balance.Endpoint) {
	r := c.run
	v := c.service.byAddr[e.Addr()]
	if v.addr != e.Addr() || v.kind.Silent {
		return
	}
	c.probes++
	travel := func(way uint64) time.Duration { return r.Network.At(r.chance("probe", c.id, c.probes, way)) }
	p := &probe{server: v, endpoint: e, back: travel(1)}
	r.agenda.plan(&p.transit, r.now+travel(0), p)
}

// happen is the arrival at the server, or of its answer.
func (p *probe) happen(*event) {
	if p.answered {
		p.endpoint.Report(p.load)
		return
	}
	if p.server.down > 0 || p.server.hanging > 0 {
		return
	}
	p.answered = true
	p.load = balance.Load{RIF: len(p.server.jobs)}
	r := p.server.run
	r.agenda.plan(&p.transit, r.now+p.back, p)
}
