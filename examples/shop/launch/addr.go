package launch

import (
	"fmt"
	"net"
)

// CheckAddr reports why addr cannot be the storefront's: it must be a loopback
// host and a port.
func CheckAddr(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port, as in 127.0.0.1:8080", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q is not on the loopback interface; the shop has no locks on its doors, so it listens at 127.0.0.1, ::1 or localhost only", addr)
	}
	return nil
}
