package gabion

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
)

// An Option changes how a [Service] is put together. Where an environment
// variable speaks of the same thing, the environment wins, so that whoever
// runs a service can move it without building it anew.
type Option interface{ apply(*config) }

type option func(*config)

func (f option) apply(c *config) { f(c) }

// WithAddr sets the address to serve on. Default 127.0.0.1:0, that is, a free
// port on loopback. Environment: GABION_ADDR.
func WithAddr(hostport string) Option {
	return option(func(c *config) { c.addr = hostport })
}

// WithListener sets the listener to serve on in place of an address: one that
// was inherited, so that a service can be replaced while connections wait, or
// one in memory. Run closes it. What others are told is its address, unless
// the advertised one is set.
func WithListener(l net.Listener) Option {
	return option(func(c *config) { c.listener = l })
}

// WithAdvertise sets the host:port under which others reach the service.
// Default taken from the listener. Environment: GABION_ADVERTISE.
func WithAdvertise(hostport string) Option {
	return option(func(c *config) { c.advertise = hostport })
}

// WithAdminAddr sets the address of the admin listener. Default 127.0.0.1:0.
// Environment: GABION_ADMIN_ADDR.
func WithAdminAddr(hostport string) Option {
	return option(func(c *config) { c.adminAddr = hostport })
}

// WithAdminListener sets the admin listener in place of an address: one that was
// inherited, or one in memory. Run closes it.
func WithAdminListener(l net.Listener) Option {
	return option(func(c *config) { c.adminListener = l })
}

// WithDiscovery sets the discovery URL. Default gossip://. Environment:
// GABION_DISCOVERY.
func WithDiscovery(url string) Option {
	return option(func(c *config) { c.discovery = url })
}

// WithOpener teaches the service another scheme of discovery URLs.
func WithOpener(scheme string, open discovery.Opener) Option {
	return option(func(c *config) { c.openers[scheme] = open })
}

// WithBackend sets a backend that is open already, in place of a discovery
// URL. It stays the caller's to close.
func WithBackend(b discovery.Backend) Option {
	return option(func(c *config) { c.backend = b })
}

// WithID sets the instance's ID, which must be unique among all instances of
// all services. Default the service's name with a random suffix.
func WithID(id string) Option {
	return option(func(c *config) { c.instance.ID = id })
}

// WithZone sets the zone on the instance. Environment: GABION_ZONE.
func WithZone(zone string) Option {
	return option(func(c *config) { c.instance.Zone = zone })
}

// WithVersion sets the version on the instance. Environment: GABION_VERSION.
func WithVersion(version string) Option {
	return option(func(c *config) { c.instance.Version = version })
}

// WithWeight sets the instance's share of traffic relative to others. Zero
// means the default of 1; a negative weight means drained: no new calls.
func WithWeight(weight int) Option {
	return option(func(c *config) { c.instance.Weight = weight })
}

// WithTags adds tags to the instance.
func WithTags(tags ...string) Option {
	return option(func(c *config) { c.instance.Tags = append(c.instance.Tags, tags...) })
}

// WithMeta adds an entry to the instance's metadata.
func WithMeta(key, value string) Option {
	return option(func(c *config) { c.instance.Meta[key] = value })
}

// WithLogger sets the logger. Default one to standard error as GABION_LOG and
// GABION_LOG_FORMAT say.
func WithLogger(l *slog.Logger) Option {
	return option(func(c *config) { c.logger = l })
}

// WithRegistry sets the Prometheus registry that metrics are registered with
// and that /metrics shows. Default one of the service's own.
func WithRegistry(r *prometheus.Registry) Option {
	return option(func(c *config) { c.registry = r })
}

// WithSpanExporter sets where spans go, such as to package observe/otlp.
// Default nowhere: trace ids are made and passed on all the same.
func WithSpanExporter(e sdktrace.SpanExporter) Option {
	return option(func(c *config) { c.exporter = e })
}

// WithPolicy sets the policy of calls to service. An empty service stands for
// all that have none of their own.
func WithPolicy(service string, p transport.Policy) Option {
	return option(func(c *config) { c.policies[service] = p })
}

// WithPolicyFile makes policies follow a file, in JSON as [transport.Policies],
// while the service runs: a change counts within a second. What the file says
// lies over [WithPolicy]; while it cannot be read, or is wrong, what it said last
// stays in force, and the log and /debug/gabion say why.
func WithPolicyFile(path string) Option {
	return option(func(c *config) { c.policyFile = path })
}

// WithPolicyKV makes policies follow Consul's key-value store while the service
// runs: the key gabion/policy/<service> holds the [transport.Policy] of calls to
// that service, gabion/policy/_default that of calls to all others, in JSON. A
// key that is wrong leaves in force what it said last. The keys lie over
// [WithPolicyFile] and [WithPolicy]. The Consul is the one of the discovery URL,
// or else that of the environment, CONSUL_HTTP_ADDR and the other variables.
func WithPolicyKV(on bool) Option {
	return option(func(c *config) { c.policyKV = on })
}

// WithClientOptions adds options to the client that all calls go through.
func WithClientOptions(opts ...transport.ClientOption) Option {
	return option(func(c *config) { c.clientOptions = append(c.clientOptions, opts...) })
}

// WithServerSettings sets the limits of the server.
func WithServerSettings(s transport.ServerSettings) Option {
	return option(func(c *config) { c.server = s })
}

// WithServerOptions adds options to the server, such as [transport.WithFairness].
// They come after those that the service sets itself and win over them where only
// one can hold: [transport.WithSettings] over [WithServerSettings], for example.
// Observers see requests after the service's own, and what
// [transport.WithExempt] lets pass does so beside the public health checks.
func WithServerOptions(opts ...transport.ServerOption) Option {
	return option(func(c *config) { c.serverOptions = append(c.serverOptions, opts...) })
}

// WithTLS makes the service speak TLS to its callers.
func WithTLS(cfg *tls.Config) Option {
	return option(func(c *config) { c.tls = cfg })
}

// WithProtocols sets the HTTP versions of the service's listener.
func WithProtocols(p *http.Protocols) Option {
	return option(func(c *config) { c.protocols = p })
}

// WithMiddleware wraps all routes of the service's listener, within the limits of
// the server: to authenticate callers, for example. Of several the first is the
// outermost. Public health checks, the admin listener and what no route matches
// go past it.
func WithMiddleware(wrap func(http.Handler) http.Handler) Option {
	return option(func(c *config) { c.middleware = append(c.middleware, wrap) })
}

// WithPublicHealth also serves /livez and /readyz on the public listener.
func WithPublicHealth(on bool) Option {
	return option(func(c *config) { c.publicHealth = on })
}

// WithDrainDelay sets how long the service keeps serving between its
// deregistration and the closing of its listener. Default 2 s; zero is
// allowed. Environment: GABION_DRAIN_DELAY.
func WithDrainDelay(d time.Duration) Option {
	return option(func(c *config) { c.drainDelay = d })
}

// WithShutdownTimeout sets the most time that requests in flight get to
// finish. Default 15 s. Environment: GABION_SHUTDOWN_TIMEOUT.
func WithShutdownTimeout(d time.Duration) Option {
	return option(func(c *config) { c.shutdownTimeout = d })
}

// WithSignals sets the signals that end the service. Default SIGTERM and SIGINT;
// none at all leaves signals to the program, which ends the service by Run's
// context.
func WithSignals(signals ...os.Signal) Option {
	return option(func(c *config) { c.signals = signals })
}

// WithStartup adds a step that must succeed before the service becomes ready:
// migrations, caches to fill. Steps run in order once the listeners are open.
// A step that fails ends Run with its error.
func WithStartup(name string, run Hook) Option {
	return option(func(c *config) { c.startup = append(c.startup, namedHook{name, run}) })
}

// WithOnReady adds a function that is called once, when the service is ready
// and its addresses are known. It must not block.
func WithOnReady(f func(*Service)) Option {
	return option(func(c *config) { c.onReady = append(c.onReady, f) })
}

// WithGetenv sets where the environment is read from. Default os.Getenv.
func WithGetenv(getenv func(string) string) Option {
	return option(func(c *config) { c.getenv = getenv })
}
