package consultest_test

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/internal/consultest"
)

func TestMain(m *testing.M) { consultest.Main(m) }

func TestServer(t *testing.T) {
	s := consultest.Start(t)
	kv := s.API().KV()
	put(t, kv, "a")
	if !has(t, kv, "a") {
		t.Fatal("the key that was put is not there")
	}

	addr := s.Addr()
	s.Restart()
	if s.Addr() != addr {
		t.Errorf("address after the restart %s, want %s", s.Addr(), addr)
	}
	if has(t, kv, "a") {
		t.Error("the server remembers after a restart, want it empty")
	}

	s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := kv.Get("a", (&api.QueryOptions{}).WithContext(ctx)); err == nil {
		t.Error("a stopped server answers")
	}
	s.Cont()
	put(t, kv, "b")

	s.Kill()
	if _, err := kv.Put(&api.KVPair{Key: "c"}, nil); err == nil {
		t.Error("a killed server answers")
	}
}

func TestACL(t *testing.T) {
	s := consultest.Start(t, consultest.WithACL("6f1a9c3e-8b1d-4c55-9f0a-0c2b7a3d1e4f"))
	put(t, s.API().KV(), "a")
	anonymous, err := api.NewClient(&api.Config{Address: s.Addr(), Scheme: "http"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := anonymous.KV().Put(&api.KVPair{Key: "b"}, nil); err == nil {
		t.Error("a write without a token succeeded")
	}
}

func put(t *testing.T, kv *api.KV, key string) {
	t.Helper()
	if _, err := kv.Put(&api.KVPair{Key: key}, nil); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, kv *api.KV, key string) bool {
	t.Helper()
	pair, _, err := kv.Get(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return pair != nil
}
