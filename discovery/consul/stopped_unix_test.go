//go:build unix

package consul_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/internal/consultest"
	"github.com/gabion-go/gabion/internal/duration"
)

// providerEnv makes TestProvider register with the Consul that it names.
const providerEnv = "GABION_TEST_CONSUL"

// TestProvider is the process that TestRealStopped stops.
func TestProvider(t *testing.T) {
	addr := os.Getenv(providerEnv)
	if addr == "" {
		t.Skip("started by TestRealStopped")
	}
	b, err := consul.New(consul.Config{Address: addr, TTL: duration.Duration(2 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	register(t, b, discovery.Instance{ID: "web-1", Service: "web", Addr: "127.0.0.1:1"}, nil)
	time.Sleep(time.Minute) // the parent kills this process long before
}

// A process is stopped for so long that Consul removes its instance, and goes
// on, hashicorp/consul#2338.
func TestRealStopped(t *testing.T) {
	t.Parallel()
	s := consultest.Start(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestProvider$")
	cmd.Env = append(os.Environ(), providerEnv+"="+s.Addr())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	eventually(t, 10*time.Second, "registered", func() bool { return passing(t, s, "web") == 1 })

	signal := func(sig os.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	eventually(t, 10*time.Second, "critical", func() bool { return passing(t, s, "web") == 0 })
	// Consul's own removal takes at least a minute.
	if err := s.API().Agent().ServiceDeregister("web-1"); err != nil {
		t.Fatal(err)
	}
	signal(syscall.SIGCONT)
	took := eventually(t, 15*time.Second, "registered again", func() bool { return passing(t, s, "web") == 1 })
	t.Logf("registered again %v after it went on", took)
}
