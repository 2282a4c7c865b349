package cart

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/memnet"
)

// fleet is some replicas that see each other by a network in memory, which
// works in a bubble, too: there no limit of time is over because a machine is
// slow.
type fleet struct {
	t       *testing.T
	market  *market
	network memnet.Network
	nodes   []*replica
	log     logbook

	mu    sync.Mutex
	cut   bool // nobody reaches a peer
	lives int  // of all replicas
}

// replica is one node of a fleet, which can be down.
type replica struct {
	fleet *fleet
	path  string
	*node
	store  *Store
	server *httptest.Server
	client *http.Client
	stop   func()
	late   atomic.Int64 // nanoseconds that peers wait for each answer
}

// logbook keeps what all replicas log.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logbook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newFleet starts n replicas. Their background work runs only with run.
func newFleet(t *testing.T, n int, run bool) *fleet {
	f := &fleet{t: t, market: newMarket()}
	for i := range n {
		r := &replica{fleet: f, path: filepath.Join(t.TempDir(), fmt.Sprint("cart-", i, ".db"))}
		f.nodes = append(f.nodes, r)
	}
	for _, r := range f.nodes {
		r.start(run)
		t.Cleanup(r.shutdown)
	}
	return f
}

func (r *replica) start(run bool) {
	t := r.fleet.t
	t.Helper()
	var err error
	if r.store, err = OpenStore(r.path); err != nil {
		t.Fatal(err)
	}
	r.client = &http.Client{Transport: &http.Transport{DialContext: r.fleet.network.Dial}}
	if r.node, err = newNode(Config{Store: r.store, Peers: r.client}, r.peers, r.self, r.fleet.market, r.fleet.market, debugLog(&r.fleet.log)); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, h := range r.routes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
			if strings.HasPrefix(req.URL.Path, "/internal/") {
				time.Sleep(time.Duration(r.late.Load()))
			}
			h(w, req)
		})
	}
	server := r.fleet.serve(mux)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	if run {
		rep, gate := r.rep, r.gate
		wg.Go(func() { rep.Run(ctx) })
		wg.Go(func() { gate.Run(ctx) })
	}
	r.stop = func() { cancel(); wg.Wait() }
	r.fleet.mu.Lock()
	defer r.fleet.mu.Unlock()
	r.server = server
}

// serve starts a server at an address that nobody had before.
func (f *fleet) serve(h http.Handler) *httptest.Server {
	f.t.Helper()
	f.mu.Lock()
	f.lives++
	addr := fmt.Sprint("cart-", f.lives, ":80")
	f.mu.Unlock()
	l, err := f.network.Listen(addr)
	if err != nil {
		f.t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	server.Start()
	return server
}

// shutdown takes the replica down; it can be started again.
func (r *replica) shutdown() {
	r.fleet.mu.Lock()
	server := r.server
	r.server = nil
	r.fleet.mu.Unlock()
	if server == nil {
		return
	}
	r.stop()
	server.Close()
	r.client.CloseIdleConnections()
	r.store.Close()
}

// peers are all other replicas, those that are down included, as a registry
// would show them for a while.
func (r *replica) peers() []Peer {
	r.fleet.mu.Lock()
	defer r.fleet.mu.Unlock()
	var peers []Peer
	for _, o := range r.fleet.nodes {
		switch {
		case o == r || o.store == nil:
		case o.server == nil || r.fleet.cut:
			peers = append(peers, Peer{o.store.ID(), "http://127.0.0.1:1"})
		default:
			peers = append(peers, Peer{o.store.ID(), o.server.URL})
		}
	}
	return peers
}

func (r *replica) self() string {
	r.fleet.mu.Lock()
	defer r.fleet.mu.Unlock()
	if r.server == nil || r.fleet.cut {
		return ""
	}
	return r.server.URL
}

func (f *fleet) partition(cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = cut
}

// converge makes the replicas read each other until there is nothing more.
func (f *fleet) converge() {
	f.t.Helper()
	for range 2 {
		for _, r := range f.nodes {
			if err := r.rep.Sync(f.t.Context()); err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

// do sends one request to the replica and returns status and body.
func (r *replica) do(method, path, body string, header ...string) (int, string) {
	r.fleet.t.Helper()
	status, answer, err := send(r.fleet.t.Context(), r.client, method, r.server.URL+path, body, header...)
	if err != nil {
		r.fleet.t.Fatal(err)
	}
	return status, answer
}

func send(ctx context.Context, client *http.Client, method, url, body string, header ...string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewBufferString(body))
	if err != nil {
		return 0, "", err
	}
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(bytes.TrimSpace(answer)), err
}

// must is do that fails the test unless the status is as wanted.
func (r *replica) must(status int, method, path, body string, header ...string) string {
	r.fleet.t.Helper()
	got, answer := r.do(method, path, body, header...)
	if got != status {
		r.fleet.t.Fatalf("%s %s: got %d %s, want %d", method, path, got, answer, status)
	}
	return answer
}

func (r *replica) create(header ...string) string {
	r.fleet.t.Helper()
	var out struct{ ID string }
	decode(r.fleet.t, r.must(201, "POST", "/carts", "", header...), &out)
	return out.ID
}

func (r *replica) put(cart, product string, n int) {
	r.fleet.t.Helper()
	r.must(200, "PUT", "/carts/"+cart+"/items/"+product, fmt.Sprintf(`{"quantity":%d}`, n))
}

func (r *replica) wantItems(cart, want string) {
	r.fleet.t.Helper()
	var out cartJSON
	decode(r.fleet.t, r.must(200, "GET", "/carts/"+cart, ""), &out)
	if got := fmt.Sprint(out.Items); got != want {
		r.fleet.t.Errorf("items: got %s, want %s", got, want)
	}
}

func decode(t *testing.T, data string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
}
