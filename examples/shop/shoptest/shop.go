package shoptest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/cart"
	"github.com/gabion-go/gabion/examples/shop/catalog"
	"github.com/gabion-go/gabion/examples/shop/inventory"
	"github.com/gabion-go/gabion/examples/shop/pricing"
	"github.com/gabion-go/gabion/examples/shop/storefront"
	"github.com/gabion-go/gabion/transport/transporttest"
)

// A Shop is the services of the shop on hosts of a network, two replicas each:
// storefront-1, storefront-2, cart-1 and so on.
type Shop struct {
	Net *transporttest.Network

	dir   string // of the stores
	pages verdicts
	stock func(*inventory.SQLiteStore) inventory.Store // what inventory keeps its stock in
}

// warm is how long it takes until all replicas know each other: a new replica
// of the cart looks for the others for a second before it shows itself.
const warm = 3 * time.Second

// replicas is how many there are of each service.
const replicas = 2

// products are what the shop sells here: few, so that they meet.
const products = 4

// Test runs f with an open shop in a bubble of package testing/synctest.
func Test(t *testing.T, f func(t *testing.T, s *Shop), opts ...transporttest.Option) {
	t.Helper()
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) { f(t, Open(t, n)) }, opts...)
}

// Open starts the shop in n and returns when it has settled: all replicas know
// each other and the storefronts what is sold.
func Open(tb testing.TB, n *transporttest.Network) *Shop {
	tb.Helper()
	return open(tb, n, func(file *inventory.SQLiteStore) inventory.Store { return file })
}

func open(tb testing.TB, n *transporttest.Network, stock func(*inventory.SQLiteStore) inventory.Store) *Shop {
	tb.Helper()
	s := &Shop{Net: n, dir: memoryDir(tb), stock: stock}
	for _, service := range []struct {
		name    string
		program transporttest.Main
	}{
		{"cart", s.cart}, {"catalog", s.catalog}, {"pricing", s.pricing}, {"inventory", s.inventory}, {"storefront", s.storefront},
	} {
		n.Launch(service.name, replicas, service.program)
		time.Sleep(warm / 5)
	}
	return s
}

// memoryDir returns a folder that is gone after the test, in memory where the
// system has such a place: the stores sync each change.
func memoryDir(tb testing.TB) string {
	tb.Helper()
	where := "/dev/shm"
	if _, err := os.Stat(where); err != nil {
		where = ""
	}
	dir, err := os.MkdirTemp(where, "gabion-shoptest-") //nolint:usetesting // TempDir is on a disk
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is left there harms nobody
	return dir
}

func (s *Shop) catalog(ctx context.Context, p *transporttest.Process) error {
	store, err := catalog.OpenStore(ctx, filepath.Join(s.dir, "catalog.db"), catalog.Seed()[:products])
	if err != nil {
		return err
	}
	defer closeWith(ctx, store)()
	opts, err := s.options(p)
	if err != nil {
		return err
	}
	return catalog.Run(ctx, catalog.Config{Store: store, Replica: replica(p), Options: opts})
}

func (s *Shop) pricing(ctx context.Context, p *transporttest.Process) error {
	opts, err := s.options(p)
	if err != nil {
		return err
	}
	return pricing.Run(ctx, pricing.Config{Replica: replica(p), Options: opts})
}

func (s *Shop) inventory(ctx context.Context, p *transporttest.Process) error {
	file, err := inventory.OpenStore(ctx, s.inventoryFile(), inventory.Seed()[:products])
	if err != nil {
		return err
	}
	defer closeWith(ctx, file)()
	opts, err := s.options(p)
	if err != nil {
		return err
	}
	return inventory.Run(ctx, inventory.Config{Store: s.stock(file), Replica: replica(p), Options: opts})
}

func (s *Shop) inventoryFile() string { return filepath.Join(s.dir, "inventory.db") }

func (s *Shop) cart(ctx context.Context, p *transporttest.Process) error {
	name := p.Host().Name()
	store, err := cart.OpenStoreAs(filepath.Join(s.dir, name+".db"), name)
	if err != nil {
		return err
	}
	defer closeWith(ctx, store)()
	opts, err := s.options(p)
	if err != nil {
		return err
	}
	return cart.Run(ctx, cart.Config{
		DataDir: s.dir, Store: store, Replica: replica(p), Options: opts,
		Peers: p.PlainClient(), Rand: p.Rand(), Now: p.Now,
	})
}

func (s *Shop) storefront(ctx context.Context, p *transporttest.Process) error {
	opts, err := s.options(p)
	if err != nil {
		return err
	}
	opts = append(opts, gabion.WithMiddleware(s.pages.judge(p)))
	return storefront.Run(ctx, storefront.Config{Replica: replica(p), Options: opts})
}

// closeWith returns what closes store. It is closed earlier if the process
// crashes, for what a dead process still does must not reach its disk.
func closeWith(ctx context.Context, store interface{ Close() error }) (closeStore func()) {
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), transporttest.ErrCrashed) {
			_ = store.Close() // its end is of no interest to the dead
		}
	})
	return func() {
		stop()
		_ = store.Close()
	}
}

// options binds a service to the network, and to nothing else.
func (s *Shop) options(p *transporttest.Process) ([]gabion.Option, error) {
	public, err := p.Listen("80")
	if err != nil {
		return nil, err
	}
	admin, err := p.Listen("81")
	if err != nil {
		return nil, err
	}
	return []gabion.Option{
		gabion.WithID(p.Instance("", 1).ID),
		gabion.WithListener(public), gabion.WithAdvertise(p.Host().Addr()), gabion.WithAdminListener(admin),
		gabion.WithBackend(p.Registry()), gabion.WithClientOptions(p.ClientOptions()...),
		gabion.WithMiddleware(p.Handler), gabion.WithSignals(),
		gabion.WithGetenv(func(string) string { return "" }), gabion.WithLogger(slog.New(slog.DiscardHandler)),
	}, nil
}

// replica is the number at the end of the host's name.
func replica(p *transporttest.Process) int {
	name := p.Host().Name()
	n, err := strconv.Atoi(name[len(name)-1:])
	if err != nil {
		panic("shoptest: host " + name)
	}
	return n
}
