package gabion

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// errNoAddress says what to do when no address can be told to others.
var errNoAddress = errors.New("gabion: listening on all addresses, and this machine has none that others could dial: set GABION_ADVERTISE to host:port")

// advertised returns the host:port that callers are told: what was set, else
// the listener's address, with a concrete address of this machine in place of
// a wildcard.
func advertised(set string, l net.Addr) (string, error) {
	if set != "" {
		return set, nil
	}
	tcp, ok := l.(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("gabion: listening on %s %s, which is not TCP: set GABION_ADVERTISE to host:port", l.Network(), l)
	}
	ip := tcp.IP
	if ip == nil || ip.IsUnspecified() {
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return "", fmt.Errorf("%w (%w)", errNoAddress, err)
		}
		if ip = concrete(addrs); ip == nil {
			return "", errNoAddress
		}
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(tcp.Port)), nil
}

// advertisedAdmin is advertised for the admin listener, which nobody needs to
// dial: what is not TCP is told as it is.
func advertisedAdmin(l net.Addr) (string, error) {
	if _, ok := l.(*net.TCPAddr); !ok {
		return l.String(), nil
	}
	return advertised("", l)
}

// concrete chooses the address to be reached under: IPv4 before IPv6, those
// of a network before loopback. Link-local ones cannot be dialled without a
// zone and are left out.
func concrete(addrs []net.Addr) net.IP {
	var best net.IP
	score := 0
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLinkLocalUnicast() || n.IP.IsMulticast() || n.IP.IsUnspecified() {
			continue
		}
		s := 1
		if n.IP.To4() != nil {
			s++
		}
		if !n.IP.IsLoopback() {
			s += 2
		}
		if s > score {
			best, score = n.IP, s
		}
	}
	return best
}
