package consul_test

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/internal/leaktest"
)

// Without settings of its own a backend uses Consul's environment.
func TestEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"CONSUL_HTTP_ADDR": "env.test:1234", "CONSUL_HTTP_TOKEN": "from-env",
		"CONSUL_NAMESPACE": "ns1", "CONSUL_PARTITION": "part1",
	}
	for name, tt := range map[string]struct {
		env               map[string]string
		conf              consul.Config
		addr, token, want string
	}{
		"environment": {nil, consul.Config{}, "env.test:1234", "from-env", "ns=ns1&partition=part1&stale="},
		"own settings": {nil, consul.Config{Address: "own.test:1", Token: "own", Namespace: "ns2", Partition: "part2"},
			"own.test:1", "own", "ns=ns2&partition=part2&stale="},
		"token file":          {map[string]string{"CONSUL_HTTP_TOKEN_FILE": file}, consul.Config{}, "env.test:1234", "from-file", ""},
		"own token file":      {nil, consul.Config{TokenFile: file, Token: "own"}, "env.test:1234", "from-file", ""},
		"own token over file": {map[string]string{"CONSUL_HTTP_TOKEN_FILE": file}, consul.Config{Token: "own"}, "env.test:1234", "own", ""},
		"address with scheme": {map[string]string{"CONSUL_HTTP_ADDR": "http://env.test:99"}, consul.Config{}, "env.test:99", "from-env", ""},
		"nothing":             {map[string]string{"CONSUL_HTTP_ADDR": "", "CONSUL_HTTP_TOKEN": ""}, consul.Config{}, "127.0.0.1:8500", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, vars := range []map[string]string{env, tt.env} {
				for k, v := range vars {
					t.Setenv(k, v)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				var dialled atomic.Value
				b, err := consul.New(tt.conf, consul.WithDialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
					dialled.Store(addr)
					return f.net.Dial(ctx, network, addr)
				}))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { b.Close() })
				watch(t, b, "web")
				time.Sleep(time.Second)
				r := f.requests("health")[0]
				addr := strings.Replace(dialled.Load().(string), "localhost", "127.0.0.1", 1)
				if addr != tt.addr || r.token != tt.token || (tt.want != "" && r.query != tt.want) {
					t.Errorf("got %s with token %q and %s; want %s, %q, %s", addr, r.token, r.query, tt.addr, tt.token, tt.want)
				}
			})
		})
	}
}

func TestUnixSocket(t *testing.T) {
	leaktest.Check(t)
	f, l := serveFake(t, "unix", filepath.Join(t.TempDir(), "s"))
	f.put("web", "a", "10.0.0.1:80")
	b, err := consul.New(consul.Config{Address: "unix://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	w := watch(t, b, "web")
	eventually(t, 5*time.Second, "a list", func() bool { return w.addrs() == "10.0.0.1:80" })
}

// serveFake starts a fake on a real socket.
func serveFake(t testing.TB, network, addr string) (*fake, net.Listener) {
	t.Helper()
	f := newFake(t)
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: f}
	f.running.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Close() })
	return f, l
}

// A watch can be stopped at any moment, at once, and leaves nothing behind,
// go-kratos/kratos#750.
func TestWatchStops(t *testing.T) {
	leaktest.Check(t)
	f, l := serveFake(t, "tcp", "127.0.0.1:0")
	f.put("web", "a", "10.0.0.1:80")
	f.set(func(f *fake) {
		f.refuse = func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(rand.N(2 * time.Millisecond))
			return false
		}
	})
	dead, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dead.Close() })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for _, tt := range []struct{ addr, service string }{
		{l.Addr().String(), "web"}, {l.Addr().String(), "unknown"}, {dead.Addr().String(), "web"}, {gone.Addr().String(), "web"},
	} {
		b, err := consul.New(consul.Config{Address: tt.addr})
		if err != nil {
			t.Fatal(err)
		}
		for range 250 {
			w := watch(t, b, tt.service)
			time.Sleep(rand.N(5 * time.Millisecond)) // the random moment
			w.cancel()
			w.stop(t)
		}
		b.Close()
	}
}
