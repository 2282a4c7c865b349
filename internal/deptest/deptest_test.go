package deptest

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gabion-go/gabion/"

// Why a package may be compiled in.
const (
	own        = "gabion's own, as light as what it imports"
	breaking   = "circuit breaking is built on it"
	prom       = "the metrics' library"
	promNeeds  = "client_golang needs it"
	otel       = "the traces' library"
	otelNeeds  = "the OpenTelemetry SDK needs it"
	propagator = "OTEL_PROPAGATORS names them"
	consulAPI  = "Consul's official client"
	consulNeed = "consul/api needs it"
	members    = "the gossip protocol"
	memberNeed = "memberlist needs it"
	tint       = "log lines for a terminal"
	histogram  = "quantiles that are exact to 3 digits"
	corsProto  = "the protocol of cross-origin requests"
	keyHash    = "the hash of keys that all clients agree on"
	bucket     = "the token bucket that all clients share"
)

var (
	promDeps = map[string]string{
		"github.com/prometheus/": prom, "github.com/beorn7/perks/": promNeeds, "github.com/cespare/xxhash/": promNeeds,
		"github.com/munnerz/goautoneg": promNeeds, "google.golang.org/protobuf/": promNeeds, "go.yaml.in/": promNeeds,
		"github.com/klauspost/compress/": promNeeds, "github.com/kylelemons/godebug/": promNeeds, "golang.org/x/sys/": promNeeds,
	}
	otelDeps = map[string]string{
		"go.opentelemetry.io/otel": otel, "go.opentelemetry.io/auto/sdk": otelNeeds, "github.com/go-logr/": otelNeeds,
		"github.com/cespare/xxhash/": otelNeeds, "github.com/google/uuid": otelNeeds, "golang.org/x/sys/": otelNeeds,
		"go.opentelemetry.io/contrib/propagators/": propagator, "go.uber.org/multierr": propagator,
	}
	consulDeps = map[string]string{
		"github.com/hashicorp/": consulAPI, "github.com/armon/go-metrics": consulNeed, "github.com/fatih/color": consulNeed,
		"github.com/mattn/": consulNeed, "github.com/mitchellh/": consulNeed, "github.com/go-viper/mapstructure/": consulNeed,
		"golang.org/x/": consulNeed,
	}
	gossipDeps = map[string]string{
		"github.com/hashicorp/": members, "github.com/armon/go-metrics": memberNeed, "github.com/miekg/dns": memberNeed,
		"github.com/google/btree": memberNeed, "github.com/sean-/seed": memberNeed, "golang.org/x/": memberNeed,
	}
)

// allowed is, by package, what it may import beyond the standard library, and
// why. A key that ends with a slash, and every key, stands for what begins
// with it.
var allowed = map[string]map[string]string{
	"breaker":                         {"github.com/sony/gobreaker/v2": breaking, module + "breaker": own, module + "internal/duration": own, module + "internal/random": own, module + "internal/strictjson": own},
	"discovery":                       {module + "discovery": own},
	"discovery/static":                {module + "discovery": own},
	"discovery/consul":                with(map[string]string{module + "discovery": own, module + "internal/": own}, consulDeps),
	"discovery/gossip":                with(map[string]string{module + "discovery": own, module + "internal/": own}, gossipDeps),
	"health":                          {module + "health": own, module + "discovery": own},
	"transport/balance/hashring":      {module + "transport/balance/hashring": own, "github.com/cespare/xxhash/": keyHash},
	"transport/balance/subset":        {module + "transport/balance/subset": own, module + "internal/random": own},
	"transport/balance":               {module + "transport/balance": own, "github.com/cespare/xxhash/": keyHash, module + "discovery": own, module + "internal/duration": own, module + "internal/random": own, module + "internal/strictjson": own},
	"transport/retry":                 {module + "transport/retry": own, module + "internal/duration": own, module + "internal/random": own, module + "internal/strictjson": own},
	"transport/limit":                 {module + "transport/limit": own, module + "internal/duration": own, module + "internal/random": own, module + "internal/strictjson": own},
	"transport/ratelimit":             {module: own, "github.com/sony/gobreaker/v2": breaking, "github.com/cespare/xxhash/": keyHash, "golang.org/x/time/rate": bucket},
	"transport/coalesce":              {module + "transport/coalesce": own, module + "internal/httpmsg": own, module + "internal/identity": own},
	"transport/collapse":              {module + "transport/collapse": own, module + "internal/duration": own, module + "internal/strictjson": own},
	"transport":                       {module + "transport": own, module + "discovery": own, module + "breaker": own, module + "internal/httpmsg": own, module + "internal/identity": own, module + "internal/duration": own, module + "internal/random": own, module + "internal/strictjson": own, "github.com/sony/gobreaker/v2": breaking, "github.com/cespare/xxhash/": keyHash},
	"transport/policysource":          {module + "transport": own, module + "discovery": own, module + "breaker": own, module + "internal/": own, "github.com/sony/gobreaker/v2": breaking, "github.com/cespare/xxhash/": keyHash},
	"transport/doctor":                {module + "transport": own, module + "discovery": own, module + "breaker": own, module + "internal/": own, "github.com/sony/gobreaker/v2": breaking, "github.com/cespare/xxhash/": keyHash},
	"observe/metrics":                 with(map[string]string{module + "observe": own}, promDeps, map[string]string{"go.opentelemetry.io/otel": "exemplars carry trace ids", "github.com/go-logr/": otelNeeds, "go.opentelemetry.io/auto/sdk": otelNeeds}),
	"observe/traces":                  with(map[string]string{module + "observe": own}, otelDeps),
	"observe/logs":                    {module + "observe": own, "github.com/lmittmann/tint": tint, "go.opentelemetry.io/otel": "records carry trace ids", "github.com/cespare/xxhash/": otelNeeds, "github.com/go-logr/": otelNeeds, "go.opentelemetry.io/auto/sdk": otelNeeds},
	"observe/admin":                   {module + "observe": own},
	"transport/compress":              {module + "transport": own, module + "discovery": own, module + "breaker": own, module + "internal/": own, "github.com/sony/gobreaker/v2": breaking, "github.com/cespare/xxhash/": keyHash},
	"transport/cors":                  {module + "transport/cors": own, module + "internal/duration": own, module + "internal/strictjson": own, "github.com/rs/cors": corsProto},
	"transport/requestid":             {module + "transport/requestid": own},
	"transport/instrument":            with(map[string]string{module: own, "github.com/sony/gobreaker/v2": breaking}, promDeps, otelDeps),
	"transport/transporttest":         {module: own, "github.com/cespare/xxhash/": keyHash, "github.com/sony/gobreaker/v2": breaking, "github.com/HdrHistogram/hdrhistogram-go": histogram},
	"transport/transporttest/sockets": {module: own, "github.com/cespare/xxhash/": keyHash, "github.com/sony/gobreaker/v2": breaking, "github.com/HdrHistogram/hdrhistogram-go": histogram},
	"transport/transporttest/dist":    {module + "transport/transporttest/dist": own, module + "internal/duration": own, module + "internal/strictjson": own},
	"transport/transporttest/load":    {module + "transport/transporttest/load": own, module + "transport/transporttest/dist": own, module + "internal/duration": own, module + "internal/random": own, module + "internal/strictjson": own},
	"transport/transporttest/report":  {module + "transport/transporttest/report": own, module + "internal/duration": own, "github.com/HdrHistogram/hdrhistogram-go": histogram},
	"": with(map[string]string{module: own, module[:len(module)-1]: own, "github.com/sony/gobreaker/v2": breaking, "github.com/lmittmann/tint": tint},
		promDeps, otelDeps, consulDeps, gossipDeps),
}

// forbidden never comes into the root module, whoever imports it.
var forbidden = map[string]string{
	"google.golang.org/grpc":                  "lives in transport/grpc",
	"go.opentelemetry.io/otel/exporters/":     "lives in observe/otlp",
	"k8s.io/":                                 "lives in discovery/kubernetes",
	"github.com/nats-io/":                     "lives in transport/messaging",
	"github.com/hashicorp/consul/agent":       "the server is a test tool",
	"github.com/stretchr/testify":             "tests need only the standard library",
	"github.com/prometheus/client_golang/api": "clients of Prometheus are not gabion's business",
}

func with(all ...map[string]string) map[string]string {
	m := map[string]string{}
	for _, one := range all {
		for k, v := range one {
			m[k] = v
		}
	}
	return m
}

func TestImports(t *testing.T) {
	for pkg, allow := range allowed {
		name := pkg
		if name == "" {
			name = "gabion"
		}
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			for _, dep := range deps(t, strings.TrimSuffix(module+pkg, "/")) {
				_, ok := match(dep, allow)
				if !ok {
					t.Errorf("%s compiles %s, which is not on its list", name, dep)
				}
				if f, bad := match(dep, forbidden); bad {
					t.Errorf("%s compiles %s, which %s", name, dep, forbidden[f])
				}
			}
		})
	}
}

// TestEveryPackageIsListed keeps the list complete: a new public package must
// say what it may import. Kits for tests, which nobody compiles into a service,
// need not.
func TestEveryPackageIsListed(t *testing.T) {
	for _, pkg := range list(t, "../../...") {
		rel := strings.TrimPrefix(strings.TrimPrefix(pkg, module[:len(module)-1]), "/")
		if strings.Contains(pkg, "/internal/") || strings.Contains(pkg+"/", "test/") {
			continue
		}
		if _, ok := allowed[rel]; !ok && rel != "observe" {
			t.Errorf("%s has no list of what it may import", pkg)
		}
	}
}

func match(dep string, set map[string]string) (string, bool) {
	for prefix := range set {
		if strings.HasPrefix(dep, prefix) {
			return prefix, true
		}
	}
	return "", false
}

// deps returns everything outside the standard library that pkg compiles.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	return list(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg)
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, errs.String())
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	return lines
}
