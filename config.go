package gabion

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport"
)

// A Hook is a step of a service's start or end.
type Hook func(ctx context.Context) error

type namedHook struct {
	name string
	run  Hook
}

// config is everything that options and the environment say.
type config struct {
	name            string
	addr            string
	listener        net.Listener
	advertise       string
	adminAddr       string
	adminListener   net.Listener
	discovery       string
	openers         discovery.Openers
	backend         discovery.Backend
	instance        discovery.Instance
	logger          *slog.Logger
	registry        *prometheus.Registry
	exporter        sdktrace.SpanExporter
	policies        map[string]transport.Policy
	policyFile      string
	policyKV        bool
	clientOptions   []transport.ClientOption
	serverOptions   []transport.ServerOption
	server          transport.ServerSettings
	tls             *tls.Config
	protocols       *http.Protocols
	publicHealth    bool
	middleware      []func(http.Handler) http.Handler
	signals         []os.Signal
	drainDelay      time.Duration
	shutdownTimeout time.Duration
	startup         []namedHook
	onReady         []func(*Service)
	getenv          func(string) string
}

func newConfig(name string, opts []Option) (*config, error) {
	c := &config{
		name: name, addr: "127.0.0.1:0", adminAddr: "127.0.0.1:0", discovery: "gossip://",
		openers: discovery.Openers{}, policies: map[string]transport.Policy{},
		instance:   discovery.Instance{Service: name, Meta: map[string]string{}},
		drainDelay: 2 * time.Second, shutdownTimeout: 15 * time.Second, getenv: os.Getenv,
		signals: []os.Signal{syscall.SIGTERM, os.Interrupt},
	}
	for _, o := range opts {
		o.apply(c)
	}
	if c.instance.ID == "" {
		c.instance.ID = name + "-" + strings.ToLower(rand.Text()[:10])
	}
	return c, errors.Join(discovery.ValidateName(name), c.readEnv(), c.validate())
}

// readEnv takes what the environment says.
func (c *config) readEnv() error {
	text := func(key string, to *string) {
		if v := c.getenv(key); v != "" {
			*to = v
		}
	}
	text("GABION_ADDR", &c.addr)
	text("GABION_ADVERTISE", &c.advertise)
	text("GABION_ADMIN_ADDR", &c.adminAddr)
	text("GABION_DISCOVERY", &c.discovery)
	text("GABION_ZONE", &c.instance.Zone)
	text("GABION_VERSION", &c.instance.Version)
	return errors.Join(
		c.envDuration("GABION_DRAIN_DELAY", &c.drainDelay),
		c.envDuration("GABION_SHUTDOWN_TIMEOUT", &c.shutdownTimeout),
	)
}

func (c *config) envDuration(key string, to *time.Duration) error {
	v := c.getenv(key)
	if v == "" {
		return nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return fmt.Errorf("gabion: %s=%q: want a duration such as 2s or 500ms", key, v)
	}
	*to = d
	return nil
}

func (c *config) validate() error {
	var errs []error
	listen := func(name, addr string) {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			errs = append(errs, fmt.Errorf("gabion: %s is %q, want host:port such as 127.0.0.1:8080", name, addr))
		}
	}
	listen("the address (GABION_ADDR)", c.addr)
	listen("the admin address (GABION_ADMIN_ADDR)", c.adminAddr)
	if c.advertise != "" {
		if err := discovery.ValidateAddr(c.advertise); err != nil {
			errs = append(errs, fmt.Errorf("gabion: the advertised address (GABION_ADVERTISE): %w", err))
		}
	}
	if c.drainDelay < 0 || c.shutdownTimeout < 0 {
		errs = append(errs, errors.New("gabion: the drain delay and the shutdown timeout must not be negative"))
	}
	return errors.Join(errs...)
}
