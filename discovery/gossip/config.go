package gossip

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	neturl "net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-go/gabion/discovery"
)

// KeyVariable names the environment variable from which [Open] takes the
// encryption key: 16, 24 or 32 bytes in standard base64.
const KeyVariable = "GABION_GOSSIP_KEY"

// DefaultPort is the port of a seed that names none, and the port that is
// bound on a network.
const DefaultPort = 7946

// Config says how a node joins its cluster. The zero value finds the other
// processes on this machine.
type Config struct {
	// Seeds are host:port, or host, of members through which to join. They
	// may be down, and may include this node. Names are resolved at every
	// attempt, and each of their addresses is tried. Empty: ten ports on
	// loopback where processes of this machine meet.
	Seeds []string
	// Bind is the ip:port to listen on, TCP and UDP. Port 0 picks a free one.
	// Default: with Seeds beyond loopback 0.0.0.0:7946, or a free port when
	// another process has that one; else 127.0.0.1 and the first meeting
	// place, or seed, whose port is free, or else any free port.
	Bind string
	// Advertise is the ip:port at which others reach this node; port 0 means
	// the one bound. Default: Bind, and when that is a wildcard the address
	// from which the first seed is reached, or else a private address of the
	// machine.
	Advertise string
	// Label keeps clusters apart that share machines: nodes hear only those
	// with the same label. Up to 64 letters, digits, dots, hyphens and
	// underscores. On one machine each label has meeting places of its own:
	// ten ports from 10000 to 29999 that follow from the label. Without a
	// label they are 7946 to 7955.
	Label string
	// Key encrypts and authenticates all traffic with AES-GCM: 16, 24 or 32
	// bytes. Nodes with another key, or none, are not heard. Empty: traffic
	// is in the clear, and whoever reaches the port can pretend to be a
	// service.
	Key []byte
	// Name is the node's name. Default: a new one for each process. A name
	// that is given must be unique in the cluster; a process that died may
	// come back under it.
	Name string
	// Logger is told of joining, losing all peers, and refusals. Nil: nobody.
	Logger *slog.Logger
}

// Open makes a Backend from a URL with the defaults of [Config]; see
// [Config.Open] for its form. It is a [discovery.Opener].
func Open(ctx context.Context, url string) (discovery.Backend, error) {
	return Config{}.Open(ctx, url)
}

// Open makes a Backend from c and what the URL adds to it:
//
//	gossip://                                     this machine
//	gossip://10.0.0.1:7946,seed.internal          a network
//	gossip://?bind=127.0.0.1:0&label=blue         with settings
//
// The settings are bind, advertise, label, and key_file, a file that holds the
// encryption key in base64. Without key_file the key comes from
// GABION_GOSSIP_KEY if that is set. It is a [discovery.Opener].
func (c Config) Open(_ context.Context, url string) (discovery.Backend, error) {
	if err := c.parse(url); err != nil {
		return nil, err
	}
	if len(c.Key) == 0 {
		if text := os.Getenv(KeyVariable); text != "" {
			key, err := decodeKey(text)
			if err != nil {
				return nil, fmt.Errorf("gossip: %s: %w", KeyVariable, err)
			}
			c.Key = key
		}
	}
	return New(c)
}

// parse adds what url says.
func (c *Config) parse(url string) error {
	rest, ok := strings.CutPrefix(url, "gossip://")
	if !ok {
		return errors.New("gossip: want gossip://")
	}
	seeds, query, _ := strings.Cut(rest, "?")
	if strings.Contains(seeds, "@") {
		return errors.New("gossip: a user or key has no place in the URL")
	}
	if seeds = strings.TrimSuffix(seeds, "/"); seeds != "" {
		c.Seeds = strings.Split(seeds, ",")
	}
	values, err := neturl.ParseQuery(query)
	if err != nil {
		return errors.New("gossip: the part of the URL after ? cannot be understood")
	}
	for name, v := range values {
		if err := c.setting(name, v[len(v)-1]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) setting(name, value string) error {
	switch name {
	case "bind":
		c.Bind = value
	case "advertise":
		c.Advertise = value
	case "label":
		c.Label = value
	case "key_file":
		key, err := readKey(value)
		if err != nil {
			return fmt.Errorf("gossip: key_file: %w", err)
		}
		c.Key = key
	case "key":
		return fmt.Errorf("gossip: a key has no place in the URL: set %s or key_file", KeyVariable)
	default:
		return fmt.Errorf("gossip: no setting %.40q: have advertise, bind, key_file, label", name)
	}
	return nil
}

func readKey(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeKey(strings.TrimSpace(string(text)))
}

// decodeKey never puts what it was given into the error.
func decodeKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("not in base64")
	}
	return key, checkKey(key)
}

func checkKey(key []byte) error {
	if !slices.Contains([]int{16, 24, 32}, len(key)) {
		return fmt.Errorf("a key of %d bytes: want 16, 24 or 32", len(key))
	}
	return nil
}

// check completes the seeds with ports and reports, joined, all that is wrong.
func (c *Config) check() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("gossip: "+format, args...))
	}
	c.Seeds = slices.Clone(c.Seeds)
	for i, s := range c.Seeds {
		c.Seeds[i] = withPort(s)
		if err := discovery.ValidateAddr(c.Seeds[i]); err != nil {
			wrong("seed %d: %w", i+1, err)
		}
	}
	for name, addr := range map[string]string{"bind": c.Bind, "advertise": c.Advertise} {
		if _, err := netip.ParseAddrPort(addr); addr != "" && err != nil {
			wrong("%s %.80q: want ip:port", name, addr)
		}
	}
	if a, err := netip.ParseAddrPort(c.Advertise); err == nil && a.Addr().IsUnspecified() {
		wrong("advertise %q: nobody can reach a wildcard", c.Advertise)
	}
	if len(c.Label) > 64 || strings.ContainsFunc(c.Label, notInLabel) {
		wrong("label %.80q: want up to 64 letters, digits, dots, hyphens and underscores", c.Label)
	}
	if len(c.Key) > 0 {
		if err := checkKey(c.Key); err != nil {
			wrong("%w", err)
		}
	}
	if len(c.Name) > maxText || c.Name != clean(c.Name) {
		wrong("name %.80q: want up to %d printable bytes", c.Name, maxText)
	}
	return errors.Join(errs...)
}

func notInLabel(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_", r))
}

// withPort adds the default port to a host without one.
func withPort(s string) string {
	if _, _, err := net.SplitHostPort(s); err == nil {
		return s
	}
	return net.JoinHostPort(strings.Trim(s, "[]"), strconv.Itoa(DefaultPort))
}
