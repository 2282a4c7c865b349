package gossip

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log"
	"net"
	"net/netip"
	"slices"
)

// The meeting places of a machine are ten ports in a row. Those who come first
// listen there, and everybody knocks at all of them.
const (
	places    = 10
	rowsBegin = 10000 // rows of labelled clusters, below the ports that
	rows      = 2000  // the kernel gives to outgoing connections
)

// meetingPlaces returns the ports of a label's row.
func meetingPlaces(label string) []netip.AddrPort {
	first := uint32(DefaultPort)
	if label != "" {
		h := fnv.New32a()
		_, _ = h.Write([]byte(label))
		first = rowsBegin + places*(h.Sum32()%rows)
	}
	var out []netip.AddrPort
	for i := range uint32(places) {
		out = append(out, netip.AddrPortFrom(loopbackIP, uint16(first+i)))
	}
	return out
}

var loopbackIP = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// stays reports whether the cluster lives on loopback.
func (c *Config) stays() bool {
	if bind, err := netip.ParseAddrPort(c.Bind); err == nil {
		return bind.Addr().IsLoopback()
	}
	return !slices.ContainsFunc(c.Seeds, func(s string) bool { return !onLoopback(s) })
}

// onLoopback reports whether host:port is on this machine by its looks.
func onLoopback(hostport string) bool {
	host, _, _ := net.SplitHostPort(hostport)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// candidates returns the addresses to listen on, best first.
func (c *Config) candidates() []netip.AddrPort {
	if bind, err := netip.ParseAddrPort(c.Bind); err == nil {
		return []netip.AddrPort{bind}
	}
	if !c.stays() {
		any4 := netip.IPv4Unspecified()
		return []netip.AddrPort{netip.AddrPortFrom(any4, DefaultPort), netip.AddrPortFrom(any4, 0)}
	}
	var out []netip.AddrPort
	if len(c.Seeds) == 0 {
		out = meetingPlaces(c.Label)
	}
	for _, s := range c.Seeds {
		if a, err := net.ResolveTCPAddr("tcp", s); err == nil {
			out = append(out, netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port()))
		}
	}
	return append(out, netip.AddrPortFrom(loopbackIP, 0))
}

// listen opens the first of c's candidates that is free.
func (c *Config) listen(logger *log.Logger) (t *transport, err error) {
	for _, addr := range c.candidates() {
		t, err = listen(addr, len(c.Key) == 0, logger)
		if err == nil {
			return t, nil
		}
		if !inUse(err) {
			break
		}
	}
	return nil, fmt.Errorf("gossip: listen: %w", err)
}

// advertised returns where others reach a node that listens on bound.
func (c *Config) advertised(bound netip.AddrPort) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(c.Advertise); err == nil {
		if a.Port() == 0 {
			a = netip.AddrPortFrom(a.Addr(), bound.Port())
		}
		return a, nil
	}
	if !bound.Addr().IsUnspecified() {
		return bound, nil
	}
	ip, err := c.outgoing()
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ip, bound.Port()), nil
}

// outgoing returns the address from which the first seed is reached, or else a
// private address of this machine.
func (c *Config) outgoing() (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	var d net.Dialer
	for _, s := range c.Seeds {
		conn, err := d.DialContext(ctx, "udp", s) // sends nothing
		if err != nil {
			continue
		}
		local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		_ = conn.Close()
		if !local.IsUnspecified() {
			return local, nil
		}
	}
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, perr := netip.ParsePrefix(a.String()); perr == nil && p.Addr().IsPrivate() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, errors.Join(errors.New("no address that others could reach: set advertise=ip:port"), err)
}
