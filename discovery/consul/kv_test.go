package consul_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/internal/consultest"
	"github.com/gabion-go/gabion/internal/leaktest"
)

// kvWatcher keeps what a watch of keys yields.
type kvWatcher struct {
	mu   sync.Mutex
	maps []string
	errs []error
}

func watchKV(t *testing.T, b *consul.Backend, prefix string) *kvWatcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &kvWatcher{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for keys, err := range b.WatchKV(ctx, prefix) {
			w.take(keys, err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return w
}

func (w *kvWatcher) take(keys map[string][]byte, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.errs = append(w.errs, err)
		return
	}
	var all []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		all = append(all, k+"="+string(keys[k]))
	}
	w.maps = append(w.maps, strings.Join(all, " "))
}

// last returns what was yielded last without an error, and how many maps and
// errors there were.
func (w *kvWatcher) last() (keys string, maps int, errs []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.maps) == 0 {
		return "nothing", 0, slices.Clone(w.errs)
	}
	return w.maps[len(w.maps)-1], len(w.maps), slices.Clone(w.errs)
}

// fakeKV answers reads of keys with what it is told, at once or when the index
// has passed the one that is asked for.
type fakeKV struct {
	mu      sync.Mutex
	index   uint64
	pairs   api.KVPairs
	status  int
	changed chan struct{}
	reads   int
}

func (k *fakeKV) set(index uint64, status int, pairs ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.index, k.status, k.pairs = index, status, nil
	for _, p := range pairs {
		key, value, _ := strings.Cut(p, "=")
		k.pairs = append(k.pairs, &api.KVPair{Key: key, Value: []byte(value)})
	}
	if k.changed != nil {
		close(k.changed)
	}
	k.changed = make(chan struct{})
}

func (k *fakeKV) serve(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/v1/kv/") {
		return false
	}
	asked, _ := strconv.ParseUint(r.FormValue("index"), 10, 64)
	wait, err := time.ParseDuration(r.FormValue("wait"))
	if err != nil {
		wait = 5 * time.Minute
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	k.mu.Lock()
	k.reads++
	for asked > 0 && k.index <= asked && k.status == http.StatusOK {
		changed := k.changed
		k.mu.Unlock()
		over := false
		select {
		case <-changed:
		case <-late.C:
			over = true
		case <-r.Context().Done():
			over = true
		}
		k.mu.Lock()
		if over {
			break
		}
	}
	defer k.mu.Unlock()
	w.Header().Set("X-Consul-Index", strconv.FormatUint(k.index, 10))
	switch {
	case k.status != http.StatusOK:
		w.WriteHeader(k.status)
	case len(k.pairs) == 0:
		w.WriteHeader(http.StatusNotFound)
	default:
		_ = json.NewEncoder(w).Encode(k.pairs)
	}
	return true
}

func TestWatchKV(t *testing.T) {
	const ok = http.StatusOK
	for name, c := range map[string]struct {
		run  func(k *fakeKV)
		keys string
		maps int
		errs int
	}{
		"no keys":          {func(k *fakeKV) { k.set(5, ok) }, "", 1, 0},
		"keys":             {func(k *fakeKV) { k.set(5, ok, "p/b=2", "p/a=1", "p/=", "p/dir/=") }, "a=1 b=2", 1, 0},
		"a change":         {func(k *fakeKV) { k.set(5, ok, "p/a=1"); time.Sleep(time.Minute); k.set(6, ok, "p/a=2") }, "a=2", 2, 0},
		"no change":        {func(k *fakeKV) { k.set(5, ok, "p/a=1"); time.Sleep(time.Minute); k.set(6, ok, "p/a=1") }, "a=1", 1, 0},
		"the last deleted": {func(k *fakeKV) { k.set(5, ok, "p/a=1"); time.Sleep(time.Minute); k.set(6, ok) }, "", 2, 0},
		"an outage": {func(k *fakeKV) {
			k.set(5, ok, "p/a=1")
			time.Sleep(time.Minute)
			k.set(6, 500)
			time.Sleep(time.Second / 2)
			k.set(7, ok, "p/a=1")
		}, "a=1", 2, 1},
		"an index that goes backwards": {func(k *fakeKV) {
			k.set(500, ok, "p/a=1")
			time.Sleep(time.Minute)
			k.set(3, ok, "p/a=2")
			time.Sleep(10 * time.Minute)
			k.set(4, ok, "p/a=3")
		}, "a=3", 3, 0},
		"an index of 0": {func(k *fakeKV) { k.set(0, ok, "p/a=1") }, "a=1", 1, 0},
		"a memory lost": {func(k *fakeKV) {
			k.set(500, ok, "p/a=1")
			time.Sleep(time.Minute)
			k.set(3, ok)
		}, "a=1", 1, 1},
		"a memory lost and found": {func(k *fakeKV) {
			k.set(500, ok, "p/a=1")
			time.Sleep(time.Minute)
			k.set(3, ok)
			time.Sleep(10 * time.Minute)
			k.set(7, ok, "p/b=2")
			time.Sleep(time.Minute)
			k.set(8, ok)
		}, "", 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, k := newFake(t), &fakeKV{}
				f.refuse = func(w http.ResponseWriter, r *http.Request) bool { return k.serve(w, r) }
				k.set(1, ok)
				started := make(chan struct{})
				go func() { c.run(k); close(started) }()
				synctest.Wait()
				w := watchKV(t, f.open(consul.Config{}), "p/")
				<-started
				time.Sleep(30 * time.Minute)
				keys, maps, errs := w.last()
				if keys != c.keys || maps != c.maps || len(errs) != c.errs {
					t.Errorf("%q, %d maps, errors %v; want %q, %d and %d errors", keys, maps, errs, c.keys, c.maps, c.errs)
				}
				k.mu.Lock()
				defer k.mu.Unlock()
				if k.reads > 60 {
					t.Errorf("%d reads", k.reads)
				}
			})
		})
	}
}

func TestWatchKVEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, k := newFake(t), &fakeKV{}
		f.refuse = func(w http.ResponseWriter, r *http.Request) bool { return k.serve(w, r) }
		k.set(5, http.StatusOK, "p/a=1")
		b := f.open(consul.Config{})
		w := watchKV(t, b, "p/")
		time.Sleep(time.Second)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, maps, errs := w.last(); maps != 1 || len(errs) != 0 {
			t.Errorf("%d maps, errors %v", maps, errs)
		}
		for _, err := range b.WatchKV(t.Context(), "p/") {
			if !errors.Is(err, discovery.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
	})
}

// Against a real Consul: changes, deletions, an outage, a restart that forgets.
func TestRealWatchKV(t *testing.T) {
	leaktest.Check(t)
	s := consultest.Start(t)
	kv := s.API().KV()
	put := func(key, value string) {
		t.Helper()
		if _, err := kv.Put(&api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	w := watchKV(t, openReal(t, s, consul.Config{}), "gabion/policy/")
	want := func(keys string) {
		t.Helper()
		eventually(t, soon, fmt.Sprintf("keys %q", keys), func() bool { got, _, _ := w.last(); return got == keys })
	}
	want("")
	put("gabion/policy/cart", "1")
	put("gabion/other", "x")
	want("cart=1")
	put("gabion/policy/pricing", "2")
	want("cart=1 pricing=2")
	if _, err := kv.Delete("gabion/policy/cart", nil); err != nil {
		t.Fatal(err)
	}
	want("pricing=2")

	s.Restart() // in memory: all is forgotten
	forgotten := func() bool {
		_, _, errs := w.last()
		return slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, consul.ErrForgotten) })
	}
	eventually(t, soon, "the loss is told", forgotten)
	want("pricing=2")
	put("gabion/policy/pricing", "3")
	want("pricing=3")
	if _, err := kv.DeleteTree("gabion/policy/", nil); err != nil {
		t.Fatal(err)
	}
	want("")
}

// A token that may not read the keys is an error, not an empty list, and is not
// told.
func TestRealWatchKVDenied(t *testing.T) {
	leaktest.Check(t)
	s := consultest.Start(t, consultest.WithACL("0b5fd2a1-6f1c-4d6e-9a53-1f6f3c1b7d11"))
	if _, err := s.API().KV().Put(&api.KVPair{Key: "p/a", Value: []byte("1")}, nil); err != nil {
		t.Fatal(err)
	}
	token := makeToken(t, s, "blind", `service_prefix "" { policy = "read" }`)
	w := watchKV(t, openReal(t, s, consul.Config{Token: token.SecretID}), "p/")
	eventually(t, soon, "an error", func() bool { _, _, errs := w.last(); return len(errs) > 0 })
	keys, _, errs := w.last()
	if keys != "nothing" || !errors.Is(errs[0], consul.ErrDenied) || strings.Contains(errs[0].Error(), token.SecretID) {
		t.Errorf("keys %q, error %v", keys, errs[0])
	}
}
