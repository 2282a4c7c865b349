package cart

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// childEnv makes this test binary a replica: "DIR NUMBER MARKET-URL".
const childEnv = "CART_TEST_REPLICA"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		if err := childMain(strings.Fields(spec)); err != nil {
			fmt.Fprintln(os.Stderr, "replica:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// childMain is a replica in its own process. It finds the others by the files
// that they leave in the directory, prints its address once it has caught up,
// and serves until it is killed or its standard input ends.
func childMain(args []string) error {
	dir, number := args[0], args[1]
	market, err := url.Parse(args[2])
	if err != nil {
		return err
	}
	store, err := OpenStore(filepath.Join(dir, "cart-"+number+".db"))
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(market)}} // whatever the host
	// In a file, which outlives the process: the test reads in it which carts a
	// replica was late to hear of.
	file, err := os.OpenFile(filepath.Join(dir, number+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	log := debugLog(file)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	self := "http://" + l.Addr().String()
	n, err := newNode(Config{Store: store, Peers: &http.Client{Transport: &http.Transport{}}}, peerFiles(dir, store.ID()), func() string { return self }, NewPricing(client), NewInventory(client), log)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for pattern, h := range n.routes {
		mux.HandleFunc(pattern, h)
	}
	go http.Serve(l, mux)
	// One that starts alone takes orders without what the other was told. At
	// most one is killed at a time, so the other is up, however long it takes.
	for n.rep.CatchUp(context.Background()) != nil {
	}
	go n.rep.Run(context.Background())
	go n.gate.Run(context.Background())
	me, err := json.Marshal(Peer{store.ID(), self})
	if err != nil {
		return err
	}
	entry := filepath.Join(dir, number+".peer")
	if err := os.WriteFile(entry+".new", me, 0o600); err != nil {
		return err
	}
	if err := os.Rename(entry+".new", entry); err != nil {
		return err
	}
	fmt.Println(self)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// debugLog returns a log that leaves nothing out.
func debugLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// ahead returns the carts of which, says the debug log, a change was
// acknowledged although a replica that may have been up did not have it.
func ahead(log string) map[string]bool {
	carts := map[string]bool{}
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Cart string }
		// A line that a kill cut short was not acknowledged.
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == msgAhead {
			carts[entry.Cart] = true
		}
	}
	return carts
}

// log returns what all lives of the replica have logged.
func (c *child) log() string {
	c.t.Helper()
	data, err := os.ReadFile(c.logFile)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// peerFiles finds the replicas that have left a file in dir.
func peerFiles(dir, self string) Peers {
	return func() []Peer {
		names, _ := filepath.Glob(filepath.Join(dir, "*.peer"))
		var peers []Peer
		for _, name := range names {
			var p Peer
			data, err := os.ReadFile(name)
			if err == nil && json.Unmarshal(data, &p) == nil && p.Store != self {
				peers = append(peers, p)
			}
		}
		return peers
	}
}

// child is a replica in another process, which dies and comes back.
type child struct {
	t    *testing.T
	spec string
	// logFile is what all its lives write to.
	logFile string
	url     atomic.Pointer[string]
	cmd     *exec.Cmd
}

// start returns once the replica is ready.
func (c *child) start() {
	c.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.Command(exe, "-test.run=^$")
	c.cmd.Env = append(os.Environ(), childEnv+"="+c.spec)
	c.cmd.Stderr = os.Stderr
	if _, err := c.cmd.StdinPipe(); err != nil { // ends when this process does
		c.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		c.t.Fatalf("a replica did not start: %v", err)
	}
	url := strings.TrimSpace(line)
	c.url.Store(&url)
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// processes starts two replicas in processes of their own.
func processes(t *testing.T, m *market) [2]*child {
	dir, market := t.TempDir(), m.serve(t)
	var two [2]*child
	for i := range two {
		two[i] = &child{t: t, logFile: filepath.Join(dir, fmt.Sprint(i, ".log")), spec: fmt.Sprint(dir, " ", i, " ", market)}
		two[i].start()
		t.Cleanup(two[i].kill)
	}
	return two
}
