package load

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// checkTarget reports why no load may go to target: it must be a plain http URL
// on this machine.
func checkTarget(target string) error {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("load: target %q: must be like http://127.0.0.1:8080", target)
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("load: target %q is not on this machine; load goes to 127.0.0.1, ::1 or localhost only", target)
	}
	return nil
}

func trimTarget(target string) string { return strings.TrimRight(target, "/") }
