package gabion_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/internal/consultest"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
)

// The test of keys talks to a real Consul. -short leaves it out.
func TestMain(m *testing.M) { consultest.Main(m) }

// until waits for what comes within a moment, on a busy machine.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: still not after 20 s", what)
		}
	}
}

func timeoutOf(s *gabion.Service, service string) func(time.Duration) func() bool {
	return func(want time.Duration) func() bool {
		return func() bool { return s.Transport().PolicyFor(service).Timeout == want }
	}
}

// inForce waits until a service goes by a policy of a source: from when it is
// ready on, unless its log says that the source was late.
func inForce(t *testing.T, log *lockedBuffer, what string, ok func() bool) {
	t.Helper()
	if !ok() && !strings.Contains(log.String(), "policies are late") {
		t.Errorf("%s: not when ready, and the log does not say why:\n%s", what, log)
	}
	until(t, what, ok)
}

// A service goes by its file from its first call on, and by what the file says
// later.
func TestPolicyFile(t *testing.T) {
	leaktest.Check(t)
	path := filepath.Join(t.TempDir(), "policies.json")
	write := func(text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"services":{"cart":{"timeout":"3s"}}}`)
	var log lockedBuffer
	var shop *gabion.Service
	svc := run(t, "shop", func(s *gabion.Service) { shop = s },
		gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "static:")),
		gabion.WithPolicy("cart", transport.Policy{Timeout: time.Second}),
		gabion.WithPolicyFile(path), gabion.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	cart := timeoutOf(shop, "cart")
	inForce(t, &log, "the file's policy", cart(3*time.Second))
	write(`{"services":{"cart":{"timeout":"4s"}}}`)
	until(t, "the file's new policy", cart(4*time.Second))
	write(`{"services":{"cart":{"timeout":"5 s"}}}`)

	var state struct {
		Policies struct {
			Version int
			Source  string
			Sources []struct {
				Source    string
				Documents []struct{ Name, Refused, Accepted string }
			}
		}
	}
	show := func() bool {
		_, _, body, err := fetch(t, plain(), "http://"+svc.AdminAddr()+"/debug/gabion")
		if err := errors.Join(err, json.Unmarshal([]byte(body), &state)); err != nil {
			t.Fatal(err)
		}
		docs := state.Policies.Sources
		return len(docs) == 1 && len(docs[0].Documents) == 1 && strings.Contains(docs[0].Documents[0].Refused, `"cart"`)
	}
	until(t, "the refusal in /debug/gabion", show)
	if p := state.Policies; p.Version != 2 || p.Source != "file "+path || p.Sources[0].Documents[0].Name != path {
		t.Errorf("shown: %+v", p)
	}
	if !cart(4 * time.Second)() {
		t.Error("the last good policy is gone")
	}
	if n := strings.Count(log.String(), "document refused"); n != 1 {
		t.Errorf("%d refusals in the log, want 1:\n%s", n, &log)
	}
}

// A file that is not there is told, and the service runs all the same.
func TestPolicyFileMissing(t *testing.T) {
	leaktest.Check(t)
	path := filepath.Join(t.TempDir(), "none.json")
	var log lockedBuffer
	svc := run(t, "shop", nil, gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "static:")), gabion.WithPolicyFile(path),
		gabion.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	inForce(t, &log, "the log says what is missing", func() bool {
		return strings.Contains(log.String(), path) && strings.Contains(log.String(), "create the file")
	})
	_, _, body, err := fetch(t, plain(), "http://"+svc.AdminAddr()+"/debug/gabion")
	if err != nil || !strings.Contains(body, "create the file") {
		t.Errorf("nor does /debug/gabion: %s, %v", body, err)
	}
}

// Keys of the Consul that the service is registered with.
func TestPolicyKV(t *testing.T) {
	leaktest.Check(t)
	consul := consultest.Start(t)
	put := func(key, text string) {
		t.Helper()
		if _, err := consul.API().KV().Put(&api.KVPair{Key: "gabion/policy/" + key, Value: []byte(text)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("cart", `{"timeout":"3s"}`)
	var log lockedBuffer
	var shop *gabion.Service
	run(t, "shop", func(s *gabion.Service) { shop = s },
		gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "consul://"+consul.Addr())), gabion.WithPolicyKV(true),
		gabion.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	inForce(t, &log, "the key's policy", timeoutOf(shop, "cart")(3*time.Second))
	put("_default", `{"timeout":"4s"}`)
	until(t, "the default", timeoutOf(shop, "other")(4*time.Second))
	if _, err := consul.API().KV().Delete("gabion/policy/cart", nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the default for cart", timeoutOf(shop, "cart")(4*time.Second))
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
