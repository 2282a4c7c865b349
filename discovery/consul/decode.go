package consul

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery"
)

// Keys of a service's metadata that carry fields of an Instance for which
// Consul has none. They are not part of Instance.Meta.
const (
	metaZone    = "zone"
	metaVersion = "version"
	metaWeight  = "gabion-weight" // only for weights that Consul cannot hold
)

// decode turns an answer into the callable instances of service, sorted, and
// one error for each entry that cannot be used, keyed by its node and ID.
func decode(service string, entries []*api.ServiceEntry, onlyPassing bool) ([]discovery.Instance, map[string]error) {
	list := make([]discovery.Instance, 0, len(entries))
	nodes := make([]string, 0, len(entries)) // nodes[i] holds list[i]
	skipped := map[string]error{}
	for _, e := range entries {
		if !callable(e, onlyPassing) {
			continue
		}
		in, err := instance(service, e)
		if err != nil {
			skipped[entryName(e)] = err
			continue
		}
		list = append(list, in)
		nodes = append(nodes, nodeName(e))
	}
	distinguish(list, nodes)
	discovery.Sort(list)
	return list, skipped
}

// callable reports whether the checks of e, its node's included, let calls
// come. An entry that makes no sense is left to [instance].
func callable(e *api.ServiceEntry, onlyPassing bool) bool {
	if e == nil {
		return true
	}
	switch worst(e.Checks) {
	case api.HealthPassing:
		return true
	case api.HealthWarning:
		return !onlyPassing
	default:
		return false
	}
}

// worst returns the worst status of checks. What is neither passing nor
// warning is critical; maintenance mode is a critical check.
func worst(checks api.HealthChecks) string {
	status := api.HealthPassing
	for _, c := range checks {
		switch {
		case c == nil || c.Status == api.HealthPassing:
		case c.Status == api.HealthWarning:
			status = api.HealthWarning
		default:
			return api.HealthCritical
		}
	}
	return status
}

// instance reads one entry.
func instance(service string, e *api.ServiceEntry) (discovery.Instance, error) {
	if e == nil || e.Service == nil {
		return discovery.Instance{}, errors.New("entry without a service")
	}
	addr, err := entryAddr(e)
	if err != nil {
		return discovery.Instance{}, err
	}
	if e.Service.ID == "" {
		return discovery.Instance{}, errors.New("service without an ID")
	}
	in := discovery.Instance{
		ID:      e.Service.ID,
		Service: service,
		Addr:    addr,
		Zone:    zone(e),
		Version: e.Service.Meta[metaVersion],
		Weight:  weight(e),
		Meta:    ownMeta(e.Service.Meta),
	}
	if len(e.Service.Tags) > 0 {
		in.Tags = e.Service.Tags
	}
	return in, nil
}

// entryAddr returns where e is dialled: the service's address, or its node's
// when the service has none.
func entryAddr(e *api.ServiceEntry) (string, error) {
	host := e.Service.Address
	if host == "" && e.Node != nil {
		host = e.Node.Address
	}
	if !plausibleHost(host) {
		return "", fmt.Errorf("address %.80q is not a host", host)
	}
	addr := net.JoinHostPort(host, strconv.Itoa(e.Service.DefaultPort()))
	return addr, discovery.ValidateAddr(addr)
}

// plausibleHost reports whether host is an IP address or has only the
// characters of a host name.
func plausibleHost(host string) bool {
	if strings.Contains(host, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	for _, c := range []byte(host) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return host != ""
}

func zone(e *api.ServiceEntry) string {
	if z := e.Service.Meta[metaZone]; z != "" {
		return z
	}
	if l := e.Service.Locality; l != nil && l.Zone != "" {
		return l.Zone
	}
	if e.Node != nil && e.Node.Locality != nil {
		return e.Node.Locality.Zone
	}
	return ""
}

// weight returns the weight for the status that e has. Consul's default of 1
// is read as 0, our default. A warning weight of 0 means drained, and so does a
// 0 that somebody wrote into the metadata.
func weight(e *api.ServiceEntry) int {
	if w, err := strconv.Atoi(e.Service.Meta[metaWeight]); err == nil {
		if w == 0 {
			return -1
		}
		return w
	}
	weights := e.Service.Weights
	w := weights.Passing
	if weights.Passing > 0 && worst(e.Checks) == api.HealthWarning {
		if w = weights.Warning; w <= 0 {
			return -1
		}
	}
	if w <= 1 {
		return 0
	}
	return w
}

// ownMeta returns meta without the keys that are read into fields.
func ownMeta(meta map[string]string) map[string]string {
	own := make(map[string]string, len(meta))
	for k, v := range meta {
		if k != metaZone && k != metaVersion && k != metaWeight {
			own[k] = v
		}
	}
	if len(own) == 0 {
		return nil
	}
	return own
}

// distinguish puts the node's name before IDs that occur more than once:
// Consul keeps IDs apart on one node only.
func distinguish(list []discovery.Instance, nodes []string) {
	count := make(map[string]int, len(list))
	for _, in := range list {
		count[in.ID]++
	}
	for i, in := range list {
		if count[in.ID] > 1 {
			list[i].ID = nodes[i] + "/" + in.ID
		}
	}
}

func nodeName(e *api.ServiceEntry) string {
	if e == nil || e.Node == nil {
		return ""
	}
	return e.Node.Node
}

// entryName identifies an entry in a log record.
func entryName(e *api.ServiceEntry) string {
	if e == nil || e.Service == nil {
		return nodeName(e)
	}
	return nodeName(e) + "/" + e.Service.ID
}
