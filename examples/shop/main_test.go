//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// The test binary is the shop too: with this variable set it is main, and so
// are the children that it starts.
const mainVar = "SHOP_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVar) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// opened is a shop that runs.
type opened struct {
	t        *testing.T
	cmd      *exec.Cmd
	url      string
	registry launch.Registry
	out      *safeBuffer
	client   *http.Client
	exited   chan error
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var openLine = regexp.MustCompile(`The shop is open at (http://\S+)`)

// open starts the shop and returns when it says that it is open.
func open(t *testing.T) *opened {
	t.Helper()
	cache := t.TempDir()
	registry, err := launch.RegistryIn(filepath.Join(cache, "gabion"))
	if err != nil {
		t.Fatal(err)
	}
	s := &opened{
		t: t, registry: registry, out: &safeBuffer{}, exited: make(chan error, 1),
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}},
	}
	s.cmd = exec.Command(os.Args[0], "-addr", "127.0.0.1:0", "-data", t.TempDir())
	s.cmd.Env = append(os.Environ(), mainVar+"=1", "XDG_CACHE_HOME="+cache, "HOME="+cache,
		"GABION_DISCOVERY=", "GABION_DRAIN_DELAY=500ms", "GORACE=atexit_sleep_ms=0")
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.exited <- s.cmd.Wait() }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		s.cmd.Process.Kill() // and with it its children
		if t.Failed() {
			t.Log(s.out)
		}
	})
	s.eventually("open", func() bool { return openLine.MatchString(s.out.String()) })
	s.url = openLine.FindStringSubmatch(s.out.String())[1]
	return s
}

func (s *opened) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-s.exited:
			s.t.Fatalf("the shop ended (%v) and was never: %s", err, what)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("never: %s", what)
		}
	}
}

// call sends a request and decodes the answer, which must have the status.
func (s *opened) call(method, path, key, body string, status int, into any) {
	s.t.Helper()
	if err := s.try(method, path, key, body, status, into); err != nil {
		s.t.Fatal(err)
	}
}

func (s *opened) try(method, path, key, body string, status int, into any) error {
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != status:
		return fmt.Errorf("%s %s answers %s, want %d: %s", method, path, resp.Status, status, data)
	case into == nil:
		return nil
	}
	return json.Unmarshal(data, into)
}

func (s *opened) children() []launch.State {
	s.t.Helper()
	f, err := s.registry.Find("")
	if err != nil {
		s.t.Fatal(err)
	}
	return f.Children
}

func (s *opened) child(name string) launch.State {
	s.t.Helper()
	for _, st := range s.children() {
		if st.Name() == name {
			return st
		}
	}
	s.t.Fatalf("no %s", name)
	return launch.State{}
}

// buy puts a product into a new cart, checks it out twice with one key, and
// returns the order.
func (s *opened) buy(product, key string) string {
	s.t.Helper()
	var cart struct{ ID string }
	s.call("POST", "/api/carts", key+"-cart", "", http.StatusCreated, &cart)
	path := "/api/carts/" + cart.ID
	s.call("PUT", path+"/items/"+product, "", `{"quantity":2}`, http.StatusOK, nil)
	var read struct {
		Items []struct {
			Product  string
			Quantity int
		}
	}
	s.call("GET", path, "", "", http.StatusOK, &read)
	if len(read.Items) != 1 || read.Items[0].Product != product || read.Items[0].Quantity != 2 {
		s.t.Fatalf("the cart holds %+v, want 2 of %s", read.Items, product)
	}
	var first, second struct{ Order string }
	s.call("POST", path+"/checkout", key, "", http.StatusCreated, &first)
	s.call("POST", path+"/checkout", key, "", http.StatusOK, &second)
	if first.Order == "" || first.Order != second.Order {
		s.t.Fatalf("one key gave the orders %q and %q", first.Order, second.Order)
	}
	return first.Order
}

// survives sends a signal to an instance and reads from the shop until the
// instance is back and a second more. No call may fail.
func (s *opened) survives(name string, sig syscall.Signal, product string) {
	s.t.Helper()
	victim := s.child(name)
	if err := syscall.Kill(victim.PID, sig); err != nil {
		s.t.Fatal(err)
	}
	var back time.Time
	began := time.Now()
	for calls := 1; back.IsZero() || time.Since(back) < time.Second; calls++ {
		for _, path := range []string{"/", "/api/products", "/api/products/" + product} {
			if err := s.try("GET", path, "", "", http.StatusOK, nil); err != nil {
				s.t.Errorf("call %d after %v of %s: %v", calls, sig, name, err)
			}
		}
		if now := s.child(name); back.IsZero() && now.Ready() && now.PID != victim.PID {
			back = time.Now()
		}
		if s.t.Failed() || time.Since(began) > 30*time.Second {
			s.t.Fatalf("%s is not well %.1f s after %v", name, time.Since(began).Seconds(), sig)
		}
	}
}

// close ends the shop with SIGTERM and checks that nothing is left.
func (s *opened) close() {
	s.t.Helper()
	children := s.children()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-s.exited:
		if err != nil {
			s.t.Errorf("the shop ended with %v, want status 0", err)
		}
	case <-time.After(30 * time.Second):
		s.t.Fatal("the shop does not end")
	}
	for _, st := range children {
		if syscall.Kill(st.PID, 0) == nil {
			s.t.Errorf("%s (pid %d) is left", st.Name(), st.PID)
		}
	}
	if _, err := s.registry.Find(""); err == nil {
		s.t.Error("the run file is left")
	}
}

// TestShop opens the real shop, buys something, kills one instance, restarts the
// only storefront, and closes the shop again.
func TestShop(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out the shop of ten processes")
	}
	s := open(t)
	if n := len(s.children()); n != 10 {
		t.Errorf("%d children, want 10", n)
	}
	s.call("GET", "/", "", "", http.StatusOK, nil)
	var list struct{ Products []struct{ ID string } }
	s.call("GET", "/api/products", "", "", http.StatusOK, &list)
	if len(list.Products) == 0 {
		t.Fatal("nothing is for sale")
	}
	product := list.Products[0].ID
	order := s.buy(product, "first")

	s.survives("pricing-2", syscall.SIGKILL, product)
	s.survives("storefront-1", syscall.SIGTERM, product)
	if again := s.buy(product, "second"); again == order {
		t.Errorf("two carts gave one order, %s", order)
	}
	s.close()
}
