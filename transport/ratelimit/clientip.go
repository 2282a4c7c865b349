package ratelimit

import (
	"net/http"
	"net/netip"
	"strings"
)

// headerForwarded is where proxies add whom they forward for, at the end.
const headerForwarded = "X-Forwarded-For"

// RemoteAddr names a client by the address at the other end of the connection:
// of IPv6 the first 64 bits, for whoever has one such address has all of them
// (RFC 6177). It is the address of the last proxy if there is one: see
// [ClientIP]. Where the connection has no IP address its name stands for it.
func RemoteAddr(r *http.Request) string {
	if addr, ok := parseHop(r.RemoteAddr); ok {
		return network(addr)
	}
	return r.RemoteAddr
}

// ClientIP returns a function that names a client by its address, as RemoteAddr
// does, behind proxies whose addresses are within trusted. From such a proxy it
// believes the last address in X-Forwarded-For; if that is a trusted proxy too,
// the one before it, and so on: what stands further left was written by
// strangers. If what a trusted proxy wrote is no address, the proxy itself is
// the client.
//
// Without trusted proxies it is RemoteAddr. A trusted proxy must append to
// X-Forwarded-For or replace it, as they commonly do. The field Forwarded (RFC
// 7239) is not read: a proxy that knows only one of the two would let callers
// write the other.
func ClientIP(trusted ...netip.Prefix) func(*http.Request) string {
	trusts := func(addr netip.Addr) bool {
		for _, p := range trusted {
			if p.Contains(addr) {
				return true
			}
		}
		return false
	}
	return func(r *http.Request) string {
		hop, ok := parseHop(r.RemoteAddr)
		if !ok {
			return r.RemoteAddr
		}
		lines := r.Header[headerForwarded]
		for i := len(lines) - 1; i >= 0; i-- {
			for rest, more := lines[i], true; more; {
				if !trusts(hop) {
					return network(hop)
				}
				var last string
				rest, last, more = cutLast(rest)
				addr, ok := parseHop(last)
				if !ok {
					return network(hop)
				}
				hop = addr
			}
		}
		return network(hop)
	}
}

// cutLast cuts the last element off a list, and reports whether there is more.
func cutLast(list string) (rest, last string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return "", list, false
	}
	return list[:i], list[i+1:], true
}

// parseHop reads an address with or without a port, as connections and proxies
// write it: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80.
// Zones are left out, and IPv4 in IPv6 is IPv4.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().WithZone("").Unmap(), true
	}
	if inside, ok := strings.CutPrefix(s, "["); ok {
		if s, ok = strings.CutSuffix(inside, "]"); !ok || !strings.Contains(s, ":") {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.WithZone("").Unmap(), true
}

// network names what belongs to one client.
func network(addr netip.Addr) string {
	if addr.Is4() {
		return addr.String()
	}
	p, _ := addr.Prefix(64) // of an IPv6 address without a zone
	return p.String()
}
