package transporttest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
)

// httpPort is where the services of a network listen.
const httpPort = "80"

// A Service is hosts with the same program.
type Service struct {
	net   *Network
	name  string
	hosts []*Host
}

type serviceConfig struct {
	plain    bool
	server   []transport.ServerOption
	protocol *http.Protocols
	zones    []string
	weights  []int
	drain    time.Duration
	shutdown time.Duration
}

// A ServiceOption changes what [Network.Serve] makes.
type ServiceOption interface{ applyService(*serviceConfig) }

type serviceOption func(*serviceConfig)

func (f serviceOption) applyService(c *serviceConfig) { f(c) }

// WithPlainServer serves with net/http alone, without the limits, deadlines and
// shedding of [transport.Server].
func WithPlainServer(on bool) ServiceOption {
	return serviceOption(func(c *serviceConfig) { c.plain = on })
}

// WithServerOptions adds options to the servers.
func WithServerOptions(opts ...transport.ServerOption) ServiceOption {
	return serviceOption(func(c *serviceConfig) { c.server = append(c.server, opts...) })
}

// WithHTTP2 serves HTTP/2 with prior knowledge beside HTTP/1.1.
func WithHTTP2(on bool) ServiceOption {
	return serviceOption(func(c *serviceConfig) {
		c.protocol = nil
		if on {
			c.protocol = new(http.Protocols)
			c.protocol.SetHTTP1(true)
			c.protocol.SetUnencryptedHTTP2(true)
		}
	})
}

// WithZones places the replicas in zones, in turn.
func WithZones(zones ...string) ServiceOption {
	return serviceOption(func(c *serviceConfig) { c.zones = zones })
}

// WithWeights gives the replicas their weights, in turn. Default 1.
func WithWeights(weights ...int) ServiceOption {
	return serviceOption(func(c *serviceConfig) { c.weights = weights })
}

// WithDrain sets how long a process that is asked to stop goes on serving after
// it has left the registry, and how long it then waits for what is in flight.
// Default 2 s and 15 s.
func WithDrain(delay, shutdown time.Duration) ServiceOption {
	return serviceOption(func(c *serviceConfig) { c.drain, c.shutdown = delay, shutdown })
}

// Serve starts a service of some replicas: hosts name-1, name-2 and so on, on
// each of them a process that serves what newHandler returns, and registers
// itself once it listens. newHandler is called again, with the new process,
// when one has been restarted. Serve returns when all are listening and
// registered.
func (n *Network) Serve(name string, replicas int, newHandler func(*Process) http.Handler, opts ...ServiceOption) *Service {
	n.tb.Helper()
	cfg := serviceConfig{drain: 2 * time.Second, shutdown: 15 * time.Second}
	for _, o := range opts {
		o.applyService(&cfg)
	}
	return n.Launch(name, replicas, func(ctx context.Context, p *Process) error {
		return p.serve(ctx, newHandler, cfg)
	})
}

// Launch starts a service of some replicas: hosts name-1, name-2 and so on,
// each of which runs program, now and whenever it is started again. The program
// listens, and registers itself if it wants to be found; see [Process.Listen]
// and [Process.Registry].
func (n *Network) Launch(name string, replicas int, program Main) *Service {
	n.tb.Helper()
	if err := discovery.ValidateName(name); err != nil {
		n.tb.Fatalf("transporttest: service %q: %v", name, err)
	}
	s := &Service{net: n, name: name}
	n.mu.Lock()
	names := []string{name}
	for i := range replicas {
		names = append(names, name+"-"+strconv.Itoa(i+1))
	}
	taken := slices.IndexFunc(names, func(s string) bool {
		return n.services[s] != nil || n.hosts[s] != nil || s == registryHost
	})
	if taken < 0 {
		n.services[name] = s
		for _, host := range names[1:] {
			s.hosts = append(s.hosts, n.addHost(host, name, program))
		}
	}
	n.mu.Unlock()
	if taken >= 0 {
		n.tb.Fatalf("transporttest: service %q: there is a service or host %q already", name, names[taken])
	}
	for _, h := range s.hosts {
		h.begin()
		time.Sleep(time.Microsecond) // one after the other, so that none begins by chance
	}
	return s
}

// Hosts returns the service's hosts, the first of them number 1.
func (s *Service) Hosts() []*Host { return s.hosts }

// Name returns the service's name.
func (s *Service) Name() string { return s.name }

// Addr returns where the host's server listens, host:port.
func (h *Host) Addr() string { return h.name + ":" + httpPort }

// serve is the program of a service that has only a handler.
func (p *Process) serve(ctx context.Context, newHandler func(*Process) http.Handler, cfg serviceConfig) error {
	handler := p.Handler(newHandler(p))
	l, err := p.Listen(httpPort)
	if err != nil {
		return err
	}
	srv, err := newServer(p.host.net.tb, handler, cfg)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	registry := p.Registry()
	defer func() { _ = registry.Close() }() // returns nil always
	reg, err := registry.Register(ctx, p.Instance(cfg.zone(p.host), cfg.weight(p.host)), nil)
	if err != nil {
		return errors.Join(err, srv.Close(), <-served)
	}
	<-ctx.Done()
	if p.gone() != nil {
		return errors.Join(srv.Close(), <-served)
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.drain+cfg.shutdown)
	defer cancel()
	err = reg.Deregister(grace)
	if p.sleep(grace, cfg.drain) != nil {
		return errors.Join(srv.Close(), <-served)
	}
	began := p.host.net.Since()
	err = errors.Join(err, srv.Shutdown(grace), <-served)
	p.settle(began)
	return err
}

func (c *serviceConfig) zone(h *Host) string {
	if len(c.zones) == 0 {
		return ""
	}
	return c.zones[(h.ordinal()-1)%len(c.zones)]
}

func (c *serviceConfig) weight(h *Host) int {
	if len(c.weights) == 0 {
		return 1
	}
	return c.weights[(h.ordinal()-1)%len(c.weights)]
}

// ordinal is the number at the end of the host's name.
func (h *Host) ordinal() int {
	n, err := strconv.Atoi(h.name[len(h.service)+1:])
	if err != nil {
		panic(fmt.Sprintf("transporttest: host %q of service %q", h.name, h.service))
	}
	return n
}

// Instance returns how the process registers itself: under an ID that no other
// process has.
func (p *Process) Instance(zone string, weight int) discovery.Instance {
	id := p.host.name
	if p.n > 1 {
		id += "." + strconv.Itoa(p.n)
	}
	return discovery.Instance{ID: id, Service: p.host.service, Addr: p.host.Addr(), Zone: zone, Weight: weight}
}
