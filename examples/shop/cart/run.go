package cart

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/examples/shop/kit"
	"github.com/gabion-go/gabion/health"
	"github.com/gabion-go/gabion/transport"
)

// serviceName is what callers put into a URL's host.
const serviceName = "cart"

// minFree is the disk space below which the service says that it is degraded.
const minFree = 64 << 20

// Config is what one replica needs to know. The rest is gabion's, from the
// environment.
type Config struct {
	// DataDir is where the replica keeps its file, made if it is missing.
	DataDir string
	// Replica tells the replicas on one machine apart, from 1. Each has its own
	// file, and no two processes may share one.
	Replica int
	// Options are further options of the service.
	Options []gabion.Option

	// Store keeps the carts. It stays the caller's to close. Default a file in
	// DataDir.
	Store *Store
	// Peers is the client for calls to other replicas, which are chosen by
	// address: nothing is to be balanced, and what fails is read from the log
	// later. Default one of net/http.
	Peers *http.Client
	// Rand is the source of chance. Default the runtime's.
	Rand rand.Source
	// Now is the time of day. Default [time.Now].
	Now func() time.Time
}

// Run serves one replica until ctx ends or the process is told to stop. It
// becomes ready once it has read what its peers know, or nobody has answered
// for a while.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Store == nil {
		file, openErr := openIn(cfg)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		cfg.Store = file
	}
	if cfg.Peers == nil {
		cfg.Peers = peerClient()
		defer cfg.Peers.CloseIdleConnections()
	}
	return run(ctx, cfg)
}

// Policies are those by which a cart calls its neighbours: one that hangs is
// given up in time for another instance of it to answer, and both before the
// storefront gives up on the cart.
func Policies() transport.Policies {
	return transport.Policies{Default: transport.Policy{Timeout: 900 * time.Millisecond, AttemptTimeout: 400 * time.Millisecond}}
}

// run is Run once it is known what the replica works with.
func run(ctx context.Context, cfg Config) error {
	store := cfg.Store
	var catchUp gabion.Hook // known once there is a service
	opts := []gabion.Option{
		gabion.WithPolicy("", Policies().Default),
		gabion.WithMeta(metaStore, store.ID()),
		gabion.WithMeta("replica", strconv.Itoa(cfg.Replica)),
		gabion.WithStartup("catch up", func(ctx context.Context) error { return catchUp(ctx) }),
	}
	s, err := gabion.New(serviceName, append(opts, cfg.Options...)...)
	if err != nil {
		return err
	}
	dir := &directory{service: serviceName, self: store.ID(), log: s.Logger()}
	n, err := newNode(cfg, dir.peers, selfOf(s),
		NewPricing(s.Client(pricingName)), NewInventory(s.Client(inventoryName)), s.Logger())
	if err != nil {
		return errors.Join(err, s.Close())
	}
	if err := addChecks(s.Health(), store, cfg.DataDir); err != nil {
		return errors.Join(err, s.Close())
	}
	kit.Mount(s, n.routes)
	n.gate.Shut()
	catchUp = func(ctx context.Context) error {
		s.Go("peers", func(ctx context.Context) error { return dir.run(ctx, s.Resolver()) })
		s.Go("gate", n.gate.Run)
		if err := n.rep.CatchUp(ctx); err != nil {
			s.Logger().WarnContext(ctx, "starting without the other replicas", "error", err)
		}
		n.gate.Open()
		s.Go("replication", n.rep.Run)
		return nil
	}
	return s.Run(ctx)
}

func openIn(cfg Config) (*Store, error) {
	if cfg.Replica < 1 {
		return nil, fmt.Errorf("cart: replica %d: want 1 or more", cfg.Replica)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("cart: make the data directory: %w", err)
	}
	return OpenStore(filepath.Join(cfg.DataDir, fmt.Sprintf("cart-%d.db", cfg.Replica)))
}

// peerClient returns a client for calls to one replica.
func peerClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}}
}

// selfOf returns where others reach s, once it listens on an address that
// others could dial.
func selfOf(s *gabion.Service) func() string {
	return func() string {
		if addr := s.Addr(); discovery.ValidateAddr(addr) == nil {
			return "http://" + addr
		}
		return ""
	}
}

func addChecks(checker *health.Checker, store *Store, dir string) error {
	_, storeErr := checker.Add("store", func(context.Context) error {
		_, err := store.Latest()
		return err
	})
	_, diskErr := checker.Add("disk", health.DiskSpace(dir, minFree), health.WithDegradeOnly(true))
	return errors.Join(storeErr, diskErr)
}
