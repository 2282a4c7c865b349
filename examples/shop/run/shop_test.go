package run

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

func registry(t *testing.T) launch.Registry {
	t.Helper()
	r, err := launch.RegistryIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// prepared returns a shop that is ready to run, and closes it at the end.
func prepared(t *testing.T, args ...string) *shop {
	t.Helper()
	set, err := parseSettings(append([]string{"-addr", "127.0.0.1:0"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s, err := prepare(registry(t), set, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestProcesses(t *testing.T) {
	t.Setenv("GABION_DISCOVERY", "")
	s := prepared(t, "-replicas", "storefront=2,cart=1,catalog=1,inventory=0", "-v")
	list, err := s.processes()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name())
		env := strings.Join(p.Env, " ")
		if got := p.Listener != nil && strings.Contains(env, pageVar+"=1"); got != (p.Service == "storefront") {
			t.Errorf("%s: has the page: %v", p.Name(), got)
		}
		for _, want := range []string{"GABION_DISCOVERY=" + s.discovery, "GABION_ADDR=127.0.0.1:0", "GABION_ADMIN_ADDR=127.0.0.1:0", "GABION_LOG=debug"} {
			if !strings.Contains(env, want) {
				t.Errorf("%s: no %s in %s", p.Name(), want, env)
			}
		}
	}
	if got, want := strings.Join(names, " "), "storefront-1 storefront-2 cart-1 catalog-1 pricing-1 pricing-2 pricing-3"; got != want {
		t.Errorf("processes %s, want %s", got, want)
	}
	if got, want := strings.Join(list[2].Args, " "), "service cart -replica 1 -data "+filepath.Join(s.data, "cart"); got != want {
		t.Errorf("args %q, want %q", got, want)
	}
	if !strings.HasPrefix(s.discovery, "gossip://127.0.0.1:") || !strings.Contains(s.discovery, "?label=shop-") {
		t.Errorf("discovery %s", s.discovery)
	}
	if list[0].Tier >= list[2].Tier || list[2].Tier >= list[3].Tier {
		t.Error("callers do not drain before those they call")
	}
}

func TestDiscoveryIsPassedOn(t *testing.T) {
	t.Setenv("GABION_DISCOVERY", "consul://127.0.0.1:8500")
	if s := prepared(t); s.discovery != "consul://127.0.0.1:8500" {
		t.Errorf("from the environment: %s", s.discovery)
	}
	if s := prepared(t, "-discovery", "gossip://127.0.0.1:1"); s.discovery != "gossip://127.0.0.1:1" {
		t.Errorf("from the flag: %s", s.discovery)
	}
}

func TestTwoShopsHaveNothingInCommon(t *testing.T) {
	t.Setenv("GABION_DISCOVERY", "")
	a, b := prepared(t), prepared(t)
	if a.addr == b.addr || a.data == b.data || a.discovery == b.discovery {
		t.Errorf("%s %s %s and %s %s %s", a.addr, a.data, a.discovery, b.addr, b.data, b.discovery)
	}
}

func TestStores(t *testing.T) {
	temporary := prepared(t)
	if _, err := os.Stat(filepath.Join(temporary.data, "cart")); err != nil {
		t.Error(err)
	}
	if err := temporary.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(temporary.data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary folder is left: %v", err)
	}
	kept := prepared(t, "-data", filepath.Join(t.TempDir(), "stores"))
	if err := kept.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(kept.data, "cart")); err != nil {
		t.Errorf("kept folder is gone: %v", err)
	}
}

func TestWhatIsInTheWay(t *testing.T) {
	t.Setenv("GABION_DISCOVERY", "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	other := prepared(t, "-data", t.TempDir())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"port":         {[]string{"-addr", taken.Addr().String()}, "is taken by another program, perhaps by another shop; choose another address with -addr"},
		"no loopback":  {[]string{"-addr", "0.0.0.0:80"}, "not on the loopback interface"},
		"no port":      {[]string{"-addr", "127.0.0.1"}, "is not host:port"},
		"stores":       {[]string{"-addr", "127.0.0.1:0", "-data", other.data}, "another shop uses the stores in " + other.data},
		"data is file": {[]string{"-addr", "127.0.0.1:0", "-data", file}, "the stores' folder (-data)"},
		"replicas":     {[]string{"-replicas", "storefront=0"}, "the storefront is the page itself"},
		"word":         {[]string{"laod"}, `no command "laod"; there are status, load, chaos, restart and service`},
		"both":         {[]string{"-v", "-quiet"}, "exclude each other"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Shop(registry(t), tc.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for name, help := range map[string]func(stderr io.Writer) error{
		"usage: shop [flags]": func(w io.Writer) error { return Shop(launch.Registry{}, []string{"-h"}, io.Discard, w) },
		"usage: shop status": func(w io.Writer) error {
			return Status(t.Context(), launch.Registry{}, []string{"-h"}, io.Discard, w)
		},
		"NAME is one of cart, catalog, inventory, pricing, storefront.": func(w io.Writer) error { return Service(t.Context(), []string{"-h"}, w) },
	} {
		var stderr bytes.Buffer
		if err := help(&stderr); !errors.Is(err, flag.ErrHelp) || !strings.Contains(stderr.String(), name) {
			t.Errorf("%v, printed\n%s", err, &stderr)
		}
	}
}

func TestServiceErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"want one of cart, catalog":         {},
		`got ["price"]`:                     {"price"},
		"-replica 0: must be 1 or more":     {"pricing", "-replica", "0"},
		"flag provided but not defined: -x": {"pricing", "-x"},
	} {
		if err := Service(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
}

func TestStatus(t *testing.T) {
	r := registry(t)
	if err := Status(t.Context(), r, nil, io.Discard, io.Discard); !errors.Is(err, launch.ErrNoShop) {
		t.Errorf("no shop: %v", err)
	}
	claim, err := r.Claim("127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = claim.Release() }()
	f := launch.RunFile{Launcher: 42, Storefront: "127.0.0.1:8080", Started: time.Now(), Children: []launch.State{
		{Service: "cart", Replica: 1, Restarts: 3},
		{Service: "cart", Replica: 2, PID: 7},
		{Service: "cart", Replica: 3, PID: 8, Addr: "127.0.0.1:1", Admin: "127.0.0.1:1"},
	}}
	if err := claim.Write(f); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Status(t.Context(), r, nil, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "3 of 3 instances are not ready") {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"launcher pid 42", "cart-1     down", "cart-2     starting", "cart-3     does not answer"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestIsGoRun(t *testing.T) {
	if isGoRun(os.Getpid()) {
		t.Error("this test is no go run")
	}
	if isGoRun(-1) {
		t.Error("nobody is no go run")
	}
}
