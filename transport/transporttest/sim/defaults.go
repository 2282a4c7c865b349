package sim

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/gabion-go/gabion/transport"
)

// withDefaults returns c, which is left as it is, with zero fields filled in.
func (c Config) withDefaults() Config {
	c.Clients, c.Servers = slices.Clone(c.Clients), slices.Clone(c.Servers)
	c.Load, c.Changes = slices.Clone(c.Load), slices.Clone(c.Changes)
	for i := range c.Clients {
		g := &c.Clients[i]
		g.Count = cmp.Or(g.Count, 1)
		p := &g.Policy
		p.Timeout = cmp.Or(p.Timeout, transport.DefaultTimeout)
		p.AttemptTimeout = cmp.Or(p.AttemptTimeout, min(transport.DefaultAttemptTimeout, p.Timeout))
	}
	for i := range c.Servers {
		g := &c.Servers[i]
		g.Name = cmp.Or(g.Name, g.Service)
		g.Count = cmp.Or(g.Count, 1)
		g.Kind = cmp.Or(g.Kind, Delay)
		g.Cores = cmp.Or(g.Cores, 1)
		g.Burst = cmp.Or(g.Burst, g.Cores)
		g.Workers = cmp.Or(g.Workers, 1)
	}
	for i := range c.Load {
		c.Load[i] = c.Load[i].WithDefaults()
	}
	for i := range c.Changes {
		h := &c.Changes[i]
		h.Share = cmp.Or(h.Share, 1)
		h.Status = cmp.Or(h.Status, http.StatusServiceUnavailable)
	}
	return c
}
