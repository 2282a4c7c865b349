package consul

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery"
)

// Limits of Consul's service metadata, and the greatest weight.
const (
	maxMetaPairs = 64
	maxMetaKey   = 128
	maxMetaValue = 512
	maxWeight    = 65535
)

// checkID returns the ID of an instance's check, which is what Consul itself
// would call it.
func checkID(id string) string { return "service:" + id }

// payload returns what is registered for in, which is valid, while it has the
// given status.
func (b *Backend) payload(in discovery.Instance, status discovery.Status) (*api.AgentServiceRegistration, error) {
	host, port, err := net.SplitHostPort(in.Addr)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	w := min(max(1, in.Weight), maxWeight)
	return &api.AgentServiceRegistration{
		ID:      in.ID,
		Name:    in.Service,
		Address: host,
		Port:    n,
		Tags:    in.Tags,
		Meta:    meta(in),
		Weights: &api.AgentWeights{Passing: w, Warning: w},
		Check:   b.check(in, status),
	}, nil
}

// meta returns the metadata of in with the fields that Consul has no place for.
func meta(in discovery.Instance) map[string]string {
	m := maps.Clone(in.Meta)
	if m == nil {
		m = map[string]string{}
	}
	if in.Zone != "" {
		m[metaZone] = in.Zone
	}
	if in.Version != "" {
		m[metaVersion] = in.Version
	}
	if in.Weight < 0 || in.Weight == 1 || in.Weight > maxWeight {
		m[metaWeight] = strconv.Itoa(in.Weight)
	}
	return m
}

// check returns the one check of an instance.
func (b *Backend) check(in discovery.Instance, status discovery.Status) *api.AgentServiceCheck {
	after, _ := b.conf.deregisterAfter()
	c := &api.AgentServiceCheck{
		CheckID:                        checkID(in.ID),
		Name:                           "gabion: " + string(b.conf.Check),
		Status:                         status.String(),
		DeregisterCriticalServiceAfter: after.String(),
	}
	interval := time.Duration(b.conf.Interval)
	switch b.conf.Check {
	case CheckHTTP:
		c.HTTP = b.checkURL(in)
		c.Interval, c.Timeout = interval.String(), interval.String()
	case CheckGRPC:
		c.GRPC = in.Addr
		if b.conf.CheckPath != "" {
			c.GRPC += "/" + b.conf.CheckPath
		}
		c.GRPCUseTLS = b.conf.CheckTLS
		c.Interval, c.Timeout = interval.String(), interval.String()
	default:
		c.TTL = time.Duration(b.conf.TTL).String()
	}
	return c
}

// checkURL returns what an HTTP check asks for. Only the instance's own
// advertised addresses come into question.
func (b *Backend) checkURL(in discovery.Instance) string {
	u := url.URL{Scheme: "http", Host: in.Addr, Path: b.conf.CheckPath}
	if admin := in.Meta["admin"]; admin != "" {
		u.Host = admin
	}
	if b.conf.CheckTLS {
		u.Scheme = "https"
	}
	return u.String()
}

// validate reports, joined, why Consul could not hold in. What Consul would
// refuse for ever is an error now.
func validate(in discovery.Instance) error {
	errs := []error{in.Validate(), validateID(in.ID), validateMeta(meta(in))}
	if admin := in.Meta["admin"]; admin != "" {
		errs = append(errs, discovery.ValidateAddr(admin))
	}
	return errors.Join(errs...)
}

// validateID refuses IDs that a request path cannot hold unambiguously.
func validateID(id string) error {
	bad := func(r rune) bool { return r == '/' || r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if len(id) > 255 || id == "." || id == ".." || strings.ContainsFunc(id, bad) {
		return fmt.Errorf("discovery/consul: ID %.80q: want at most 255 bytes without spaces, slashes and control characters", id)
	}
	return nil
}

func validateMeta(m map[string]string) error {
	var errs []error
	if len(m) > maxMetaPairs {
		errs = append(errs, fmt.Errorf("discovery/consul: %d pairs of metadata: Consul holds %d, zone, version and weight included", len(m), maxMetaPairs))
	}
	for k, v := range m {
		switch {
		case !plausibleKey(k):
			errs = append(errs, fmt.Errorf("discovery/consul: metadata key %.80q: want 1 to %d letters, digits, _ and -, not beginning with consul-", k, maxMetaKey))
		case len(v) > maxMetaValue:
			errs = append(errs, fmt.Errorf("discovery/consul: metadata %q has %d bytes: Consul holds %d", k, len(v), maxMetaValue))
		}
	}
	return errors.Join(errs...)
}

func plausibleKey(k string) bool {
	for _, c := range []byte(k) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return k != "" && len(k) <= maxMetaKey && !strings.HasPrefix(k, "consul-")
}
