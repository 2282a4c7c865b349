package cart

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/transporttest"
)

// board is a registry within the test.
type board struct {
	mu      sync.Mutex
	list    []discovery.Instance
	changed chan struct{}
}

func (b *board) change(f func(list []discovery.Instance) []discovery.Instance) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = f(b.list)
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *board) read() ([]discovery.Instance, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.list, b.changed
}

func (b *board) Register(_ context.Context, in discovery.Instance, _ discovery.StatusFunc) (discovery.Registration, error) {
	b.change(func(list []discovery.Instance) []discovery.Instance { return append(list[:len(list):len(list)], in) })
	return entry{b, in.ID}, nil
}

func (b *board) Watch(ctx context.Context, service string) iter.Seq2[[]discovery.Instance, error] {
	return func(yield func([]discovery.Instance, error) bool) {
		for {
			list, changed := b.read()
			found := []discovery.Instance{}
			for _, in := range list {
				if in.Service == service {
					found = append(found, in.Clone())
				}
			}
			if discovery.Sort(found); !yield(found, nil) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (b *board) Close() error { return nil }

type entry struct {
	board *board
	id    string
}

func (e entry) Err() error { return nil }

func (e entry) Deregister(context.Context) error {
	e.board.change(func(list []discovery.Instance) (rest []discovery.Instance) {
		for _, in := range list {
			if in.ID != e.id {
				rest = append(rest, in)
			}
		}
		return rest
	})
	return nil
}

// running is a replica that Run runs.
type running struct {
	url  string
	stop func() error
}

// runReplica runs replica number on a host of its own and returns when it is
// ready.
func runReplica(t *testing.T, n *transporttest.Network, b *board, dir string, number int) running {
	t.Helper()
	p := n.Host(fmt.Sprint("cart-", number)).Process()
	listen := func(port string) net.Listener {
		l, err := p.Listen(port)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	ready := make(chan string, 1)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{DataDir: dir, Replica: number, Peers: p.PlainClient(), Options: []gabion.Option{
			gabion.WithBackend(b), gabion.WithDrainDelay(0), gabion.WithLogger(slog.New(slog.DiscardHandler)),
			gabion.WithListener(listen("80")), gabion.WithAdvertise(p.Host().Addr()), gabion.WithAdminListener(listen("81")),
			gabion.WithClientOptions(p.ClientOptions()...), gabion.WithSignals(),
			gabion.WithGetenv(func(string) string { return "" }),
			gabion.WithOnReady(func(s *gabion.Service) { ready <- "http://" + s.Addr() }),
		}})
	}()
	r := running{stop: sync.OnceValue(func() error { cancel(); return <-ended })}
	t.Cleanup(func() { r.stop() })
	select {
	case r.url = <-ready:
	case err := <-ended:
		ended <- nil // for stop
		t.Fatalf("ended before it was ready: %v", err)
	}
	return r
}

// What a replica waits for its peers is bounded, and on a busy machine the time
// may be up: so this runs in virtual time.
func TestRun(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		b := &board{changed: make(chan struct{})}
		dir := t.TempDir()
		client := n.Host("browser").Process().PlainClient()
		ask := func(r running, method, path, body string) (int, string) {
			var key []string
			if method == "POST" {
				key = []string{"Idempotency-Key", "k1"}
			}
			status, answer, err := send(t.Context(), client, method, r.url+path, body, key...)
			if err != nil {
				t.Fatal(err)
			}
			return status, answer
		}

		one := runReplica(t, n, b, dir, 1)
		two := runReplica(t, n, b, dir, 2)
		status, body := ask(one, "POST", "/carts", "")
		var made struct{ ID string }
		decode(t, body, &made)
		if status != 201 {
			t.Fatalf("create: %d %s", status, body)
		}
		mug := "/carts/" + made.ID + "/items/mug"
		if status, body := ask(two, "PUT", mug, `{"quantity":2}`); status != 200 {
			t.Fatalf("change on the other replica: %d %s", status, body)
		}
		if status, body := ask(two, "POST", "/carts/"+made.ID+"/checkout", ""); status != 503 || !strings.Contains(body, "Nothing was ordered") {
			t.Errorf("checkout without prices: %d %s", status, body)
		}
		if err := one.stop(); err != nil {
			t.Errorf("first replica: %v", err)
		}
		if status, body := ask(two, "PUT", mug, `{"quantity":5}`); status != 200 {
			t.Fatalf("change while alone: %d %s", status, body)
		}
		one = runReplica(t, n, b, dir, 1)
		if status, body := ask(one, "GET", "/carts/"+made.ID, ""); status != 200 || !strings.Contains(body, `"quantity":5`) {
			t.Errorf("right after its start: %d %s, want what the other knows", status, body)
		}
		for i, r := range []running{one, two} {
			if err := r.stop(); err != nil {
				t.Errorf("replica %d: %v", i+1, err)
			}
		}
	})
}

func TestRunRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no replica":   {DataDir: t.TempDir()},
		"no directory": {DataDir: "/dev/null/x", Replica: 1},
	} {
		if err := Run(t.Context(), cfg); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}

func TestDirectoryKnowsPeersByStore(t *testing.T) {
	d := &directory{self: "me", log: slog.New(slog.DiscardHandler)}
	if got := d.peers(); len(got) != 0 {
		t.Errorf("before the first list: %v", got)
	}
	d.set([]discovery.Instance{
		{Addr: "127.0.0.1:1", Meta: map[string]string{metaStore: "me"}},
		{Addr: "127.0.0.1:2", Meta: map[string]string{metaStore: "other"}},
		{Addr: "127.0.0.1:3"},
	})
	if got, want := fmt.Sprint(d.peers()), "[{other http://127.0.0.1:2} { http://127.0.0.1:3}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
