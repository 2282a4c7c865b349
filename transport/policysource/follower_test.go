package policysource_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/internal/consultest"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/policysource"
)

// Tests with keys talk to a real Consul. -short leaves them out.
func TestMain(m *testing.M) { consultest.Main(m) }

// soon bounds what comes with the next attempt at reading, on a busy machine.
const soon = 20 * time.Second

// A harness is a source that a test can write to.
type harness interface {
	source() policysource.Source
	// set writes texts by scope, those of other scopes being taken out.
	set(texts map[string]string)
	// lose makes the source unreadable, find readable again, with what set wrote
	// last.
	lose()
	find()
	// bad is the name of the document that holds what is wrong with cart.
	bad() string
}

// fileHarness writes one file, by a rename or in place.
type fileHarness struct {
	t       *testing.T
	path    string
	inPlace bool
	text    []byte
}

func (h *fileHarness) source() policysource.Source { return policysource.File(h.path) }

func (h *fileHarness) set(texts map[string]string) {
	doc := map[string]any{}
	services := map[string]json.RawMessage{}
	for scope, text := range texts {
		if scope == policysource.ScopeDefault {
			doc["default"] = json.RawMessage(text)
		} else {
			services[scope] = json.RawMessage(text)
		}
	}
	doc["services"] = services
	var err error
	if h.text, err = json.Marshal(doc); err != nil {
		h.t.Fatal(err)
	}
	h.find()
}

func (h *fileHarness) find() {
	h.t.Helper()
	if _, err := os.Stat(h.path); err == nil && h.inPlace {
		h.overwrite()
		return
	}
	if err := os.WriteFile(h.path+".new", h.text, 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(h.path+".new", h.path); err != nil {
		h.t.Fatal(err)
	}
}

// overwrite writes the text into the file in one piece, padded so that each is as
// long as the one before. A file that is made shorter first, as os.WriteFile does,
// is a refused document if the machine looks at it twice before it goes on.
func (h *fileHarness) overwrite() {
	h.t.Helper()
	f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	_, err = f.Write(append(h.text, bytes.Repeat([]byte(" "), 500-len(h.text))...))
	if err := errors.Join(err, f.Close()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *fileHarness) lose() {
	if err := os.Remove(h.path); err != nil {
		h.t.Fatal(err)
	}
}

func (h *fileHarness) bad() string { return h.path }

// keysHarness writes keys of a Consul.
type keysHarness struct {
	t      *testing.T
	consul *consultest.Server
	kv     *consul.Backend
	texts  map[string]string
}

func (h *keysHarness) source() policysource.Source {
	return policysource.Keys(h.kv, policysource.Prefix)
}

func (h *keysHarness) set(texts map[string]string) {
	h.t.Helper()
	kv := h.consul.API().KV()
	for scope := range h.texts {
		if _, ok := texts[scope]; !ok {
			if _, err := kv.Delete(policysource.Prefix+scope, nil); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	for scope, text := range texts {
		if _, err := kv.Put(&api.KVPair{Key: policysource.Prefix + scope, Value: []byte(text)}, nil); err != nil {
			h.t.Fatal(err)
		}
	}
	h.texts = texts
}

func (h *keysHarness) lose() { h.consul.Kill() }

func (h *keysHarness) find() {
	h.consul.Restart() // with nothing in its memory
	texts := h.texts
	h.texts = nil
	h.set(texts)
}

func (h *keysHarness) bad() string { return policysource.Prefix + "cart" }

func TestConformance(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) harness{
		"file by rename": func(t *testing.T) harness {
			return &fileHarness{t: t, path: filepath.Join(t.TempDir(), "policies.json")}
		},
		"file in place": func(t *testing.T) harness {
			return &fileHarness{t: t, path: filepath.Join(t.TempDir(), "policies.json"), inPlace: true}
		},
		"keys of Consul": func(t *testing.T) harness {
			s := consultest.Start(t)
			b, err := consul.New(consul.Config{Address: s.Addr()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			return &keysHarness{t: t, consul: s, kv: b}
		},
	} {
		t.Run(name, func(t *testing.T) { conform(t, start) })
	}
}

// conform is what every source does.
func conform(t *testing.T, start func(t *testing.T) harness) {
	leaktest.Check(t)
	h := start(t)
	w := follow(t, h)

	h.set(map[string]string{"cart": `{"timeout":"1s"}`, policysource.ScopeDefault: `{"timeout":"2s"}`})
	w.want("what is written is in force", "1s", "2s")
	h.set(map[string]string{"cart": `{"timeout":"3s"}`, policysource.ScopeDefault: `{"timeout":"2s"}`})
	w.want("a change is in force", "3s", "2s")

	for i, bad := range []string{`{"timeout":"-4s"}`, `{"timeot":"4s"}`, `[]`, `{"balance":{"policy":"best"}}`} {
		h.set(map[string]string{"cart": bad, policysource.ScopeDefault: `{"timeout":"2s"}`})
		w.refused(h.bad(), bad, i+1)
		w.want("after "+bad, "3s", "2s")
	}
	h.set(map[string]string{"cart": `{"timeout":"4s"}`, policysource.ScopeDefault: `{"timeout":"2s"}`})
	w.want("the good one after a bad one", "4s", "2s")
	w.eventually("no refusal any more", func(s policysource.Status) bool {
		return !slices.ContainsFunc(s.Documents, func(d policysource.DocumentStatus) bool { return d.Err != nil })
	})

	h.lose()
	w.eventually("an error", func(s policysource.Status) bool { return s.Err != nil })
	w.want("while the source is lost", "4s", "2s")
	h.find()
	w.eventually("no error any more", func(s policysource.Status) bool { return s.Err == nil })
	w.want("when the source is found", "4s", "2s")

	h.set(map[string]string{policysource.ScopeDefault: `{"timeout":"2s"}`})
	w.want("the program's own for cart again", "8s", "2s")
	h.set(map[string]string{})
	w.want("the program's own again", "8s", "9s")

	w.end()
	h.set(map[string]string{"cart": `{"timeout":"1s"}`})
	w.want("after the end", "8s", "9s")
	if got := strings.Count(w.log.String(), "document refused"); got != 4 {
		t.Errorf("%d refusals logged, want 4:\n%s", got, w.log)
	}
	if got := strings.Count(w.log.String(), "cannot be read,"); got > 2 {
		t.Errorf("%d failures logged, want one for the beginning and one for the loss:\n%s", got, w.log)
	}
}

// follower is a client under a Follower.
type follower struct {
	t      *testing.T
	client *transport.Client
	*policysource.Follower
	log *syncBuffer
	end func()
}

// follow starts a follower over a client whose own policies are 8 s for cart and
// 9 s for all others.
func follow(t *testing.T, h harness) *follower {
	t.Helper()
	r, err := static.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := transport.NewClient(r, transport.WithPolicy(transport.Policy{Timeout: 9 * time.Second}),
		transport.WithServicePolicy("cart", transport.Policy{Timeout: 8 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	w := &follower{t: t, client: c, log: &syncBuffer{}}
	w.Follower = policysource.NewFollower(h.source(), c, slog.New(slog.NewTextHandler(w.log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	w.end = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(func() {
		w.end()
		_ = c.Close()
		_ = r.Close()
	})
	select {
	case <-w.First():
	case <-time.After(soon):
		t.Fatal("the source says nothing")
	}
	return w
}

// want waits until the timeouts of cart and of others are in force.
func (w *follower) want(what, cart, other string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s: cart %s, others %s", what, cart, other), func(policysource.Status) bool {
		return w.client.PolicyFor("cart").Timeout.String() == cart && w.client.PolicyFor("other").Timeout.String() == other
	})
}

// refused waits until the document is refused, as the nth.
func (w *follower) refused(name, text string, n int) {
	w.t.Helper()
	w.eventually("refused: "+text, func(s policysource.Status) bool {
		i := slices.IndexFunc(s.Documents, func(d policysource.DocumentStatus) bool { return d.Name == name })
		return i >= 0 && s.Documents[i].Err != nil && !s.Documents[i].Refused.IsZero() && !s.Documents[i].Accepted.IsZero() &&
			strings.Count(w.log.String(), "document refused") == n
	})
}

func (w *follower) eventually(what string, ok func(policysource.Status) bool) {
	w.t.Helper()
	for deadline := time.Now().Add(soon); !ok(w.Status()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: still not after %v\nstatus %+v\ncart %v, others %v\n%s", what, soon, w.Status(),
				w.client.PolicyFor("cart").Timeout, w.client.PolicyFor("other").Timeout, w.log)
		}
	}
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
