package consul

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
)

// A Check is how Consul learns the status of an instance.
type Check string

// The checks. Script checks are not offered: they let whoever may register
// run programs on the agent's node.
const (
	CheckTTL  Check = "ttl"  // the instance reports its status
	CheckHTTP Check = "http" // the agent sends GET requests
	CheckGRPC Check = "grpc" // the agent calls grpc.health.v1.Health/Check
)

// Defaults of a Config.
const (
	DefaultTTL             = 10 * time.Second
	DefaultInterval        = 5 * time.Second
	DefaultDeregisterAfter = 5 * time.Minute
	DefaultCheckPath       = "/readyz"
	DefaultWait            = 5 * time.Minute
	DefaultMaxStale        = 5 * time.Second
	DefaultSettle          = 30 * time.Second
	DefaultMaxResponse     = 8 << 20
)

// minDeregisterAfter is the least that Consul accepts; it raises what is less.
const minDeregisterAfter = time.Minute

// maxWait is the longest that Consul blocks a query.
const maxWait = 10 * time.Minute

// Config says which Consul to use and how. A zero field has its documented
// default. Where that is "the environment", the variables of Consul's own
// command line apply, CONSUL_HTTP_ADDR and the others.
type Config struct {
	// Address is host:port, http://host:port, https://host:port or
	// unix:///path. Default: the environment, else 127.0.0.1:8500.
	Address string `json:"address,omitempty"`
	// TLS is used when the address is https or TLS.Enabled is set.
	TLS TLS `json:"tls,omitzero"`
	// Token is the ACL token; it is never part of the JSON form. TokenFile
	// names a file that holds it, which is read again before each request, so
	// that the token can be replaced; it wins over Token. Default: the
	// environment.
	Token     string `json:"-"`
	TokenFile string `json:"token_file,omitempty"`
	// Datacenter is where services are looked up. Registration is always in
	// the agent's own. Default: the agent's.
	Datacenter string `json:"datacenter,omitempty"`
	// Namespace and Partition need Consul Enterprise. Default: the environment.
	Namespace string `json:"namespace,omitempty"`
	Partition string `json:"partition,omitempty"`

	// Check is how Consul learns the status of what is registered. Default ttl.
	Check Check `json:"check,omitempty"`
	// TTL is how long Consul believes a reported status, at least 1 s. It is
	// reported every TTL/3. Default 10 s.
	TTL duration.Duration `json:"ttl,omitzero"`
	// Interval is the time between the agent's own checks, at least 1 s, and
	// between two looks at whether the registration is still there. It is for
	// HTTP and gRPC checks. Default 5 s.
	Interval duration.Duration `json:"interval,omitzero"`
	// CheckPath is what an HTTP check asks for, on the admin listener if the
	// instance has Meta["admin"], else on its own address; a gRPC check asks
	// its own address for the service of this name. Default /readyz for HTTP,
	// and the whole server for gRPC.
	CheckPath string `json:"check_path,omitempty"`
	// CheckTLS makes HTTP and gRPC checks use TLS, with verification.
	CheckTLS bool `json:"check_tls,omitempty"`
	// DeregisterAfter is how long an instance may be critical before the agent
	// removes it, which is what becomes of a process that crashed. One that is
	// alive registers again. What is below 1 min, the least that Consul knows,
	// or below 3 TTL is raised with a warning. Default 5 min.
	DeregisterAfter duration.Duration `json:"deregister_after,omitzero"`

	// Tags, if any, are what an instance must have, each of them, to be found.
	Tags []string `json:"tags,omitempty"`
	// OnlyPassing leaves out instances with a check in warning state.
	OnlyPassing bool `json:"only_passing,omitempty"`
	// Wait is how long a query blocks, 1 s to 10 min. Default 5 min.
	Wait duration.Duration `json:"wait,omitzero"`
	// MaxStale is how long ago the server that answers may have heard from its
	// leader. An older answer is read again, once, from the leader; if that
	// fails the old one is used. Default 5 s.
	MaxStale duration.Duration `json:"max_stale,omitzero"`
	// Settle is how long after Consul failed, or lost its memory, instances
	// stay listed that have not come back yet: a Consul that restarts shows
	// them one after the other as they register again, and the first must not
	// get the calls of all. Negative turns it off. Default 30 s.
	Settle duration.Duration `json:"settle,omitzero"`
	// MaxResponse is the largest answer in bytes. Default 8 MiB.
	MaxResponse int64 `json:"max_response,omitempty"`
}

// TLS is how to speak HTTPS with Consul. The files are read for each new
// connection, so that certificates and authorities can be rotated; while they
// cannot be used, those that were read last are. Default: the environment.
type TLS struct {
	// Enabled turns TLS on for an address that does not say https.
	Enabled bool `json:"enabled,omitempty"`
	// CAFile and CAPath, a directory, replace the system's authorities.
	CAFile string `json:"ca_file,omitempty"`
	CAPath string `json:"ca_path,omitempty"`
	// CertFile and KeyFile are this client's certificate; both or none.
	CertFile string `json:"cert_file,omitempty"`
	KeyFile  string `json:"key_file,omitempty"`
	// ServerName is expected in Consul's certificate in place of the host.
	ServerName string `json:"server_name,omitempty"`
	// SkipVerify accepts any certificate. For tests.
	SkipVerify bool `json:"skip_verify,omitempty"`
}

// withDefaults fills the zero fields that do not depend on the environment.
func (c Config) withDefaults() Config {
	orDefault(&c.Check, CheckTTL)
	orDefault(&c.TTL, duration.Duration(DefaultTTL))
	orDefault(&c.Interval, duration.Duration(DefaultInterval))
	orDefault(&c.DeregisterAfter, duration.Duration(DefaultDeregisterAfter))
	orDefault(&c.Wait, duration.Duration(DefaultWait))
	orDefault(&c.MaxStale, duration.Duration(DefaultMaxStale))
	orDefault(&c.Settle, duration.Duration(DefaultSettle))
	orDefault(&c.MaxResponse, DefaultMaxResponse)
	if c.Check == CheckHTTP {
		orDefault(&c.CheckPath, DefaultCheckPath)
	}
	return c
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate reports, joined, what is wrong with a Config that has its defaults.
func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("discovery/consul: "+format, args...))
	}
	switch c.Check {
	case CheckTTL, CheckHTTP, CheckGRPC:
	default:
		bad("check %q: want ttl, http or grpc", c.Check)
	}
	if ttl := time.Duration(c.TTL); ttl < time.Second {
		bad("ttl %v: want at least 1s", ttl)
	}
	if interval := time.Duration(c.Interval); interval < time.Second {
		bad("interval %v: want at least 1s", interval)
	}
	if wait := time.Duration(c.Wait); wait < time.Second || wait > maxWait {
		bad("wait %v: want 1s to %v", wait, maxWait)
	}
	if after := time.Duration(c.DeregisterAfter); after < 0 {
		bad("deregister_after %v: must not be negative", after)
	}
	if stale := time.Duration(c.MaxStale); stale < 0 {
		bad("max_stale %v: must not be negative", stale)
	}
	if c.MaxResponse < 0 {
		bad("max_response %d: must not be negative", c.MaxResponse)
	}
	if c.Check == CheckHTTP && !strings.HasPrefix(c.CheckPath, "/") {
		bad("check_path %q: want a path that begins with /", c.CheckPath)
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		bad("tls: cert_file and key_file go together")
	}
	return errors.Join(errs...)
}

// deregisterAfter returns the time that is sent to Consul, and whether it had
// to be raised.
func (c Config) deregisterAfter() (after time.Duration, raised bool) {
	after = time.Duration(c.DeregisterAfter)
	least := minDeregisterAfter
	if c.Check == CheckTTL {
		least = max(least, 3*time.Duration(c.TTL))
	}
	return max(after, least), after < least
}
