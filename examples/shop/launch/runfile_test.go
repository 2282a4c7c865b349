package launch

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func registry(t *testing.T) Registry {
	t.Helper()
	r, err := RegistryIn(filepath.Join(t.TempDir(), "gabion"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func claim(t *testing.T, r Registry, addr string) (*Claim, RunFile) {
	t.Helper()
	c, err := r.Claim(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Release() }) // some tests have done so before
	f := RunFile{Launcher: 1, Storefront: addr, Started: time.Unix(1, 0).UTC(), Children: []State{
		{Service: "pricing", Replica: 2, PID: 7, Addr: "127.0.0.1:1", Admin: "127.0.0.1:2", Since: time.Unix(2, 0).UTC(), Restarts: 3},
	}}
	if err := c.Write(f); err != nil {
		t.Fatal(err)
	}
	return c, f
}

func TestFind(t *testing.T) {
	r := registry(t)
	if _, err := r.Find(""); !errors.Is(err, ErrNoShop) {
		t.Errorf("none: %v", err)
	}
	first, want := claim(t, r, "127.0.0.1:8080")
	for _, addr := range []string{"", "127.0.0.1:8080"} {
		if got, err := r.Find(addr); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Find(%q): %+v, %v; want %+v", addr, got, err, want)
		}
	}
	if _, err := r.Find("127.0.0.1:1"); !errors.Is(err, ErrNoShop) || !strings.Contains(err.Error(), "but at 127.0.0.1:8080") {
		t.Errorf("other address: %v", err)
	}
	claim(t, r, "[::1]:8080")
	if _, err := r.Find(""); !errors.Is(err, ErrManyShops) {
		t.Errorf("two: %v", err)
	}
	if got, err := r.Find("[::1]:8080"); err != nil || got.Storefront != "[::1]:8080" {
		t.Errorf("second: %+v, %v", got, err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Find(""); err != nil || got.Storefront != "[::1]:8080" {
		t.Errorf("after the first has gone: %+v, %v", got, err)
	}
}

func TestClaimTwice(t *testing.T) {
	r := registry(t)
	claim(t, r, "127.0.0.1:8080")
	if _, err := r.Claim("127.0.0.1:8080"); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
}

// unlock does what the kernel does for a launcher that was killed.
func unlock(t *testing.T, c *Claim) {
	t.Helper()
	if err := c.unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestFileOfKilledLauncherIsNoShop(t *testing.T) {
	r := registry(t)
	c, _ := claim(t, r, "127.0.0.1:8080")
	if err := r.Hold("127.0.0.1:8080", "catalog", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	unlock(t, c)
	if _, err := r.Find(""); !errors.Is(err, ErrNoShop) {
		t.Errorf("Find: %v", err)
	}
	again, err := r.Claim("127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Release() }()
	if until := again.HeldUntil("catalog"); !until.IsZero() {
		t.Errorf("still held until %v", until)
	}
	if _, err := os.Stat(r.path("127.0.0.1:8080", ".json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("old run file is left: %v", err)
	}
}

func TestHold(t *testing.T) {
	r := registry(t)
	c, _ := claim(t, r, "127.0.0.1:8080")
	until := time.Now().Add(time.Minute)
	if err := r.Hold("127.0.0.1:8080", "catalog", until); err != nil {
		t.Fatal(err)
	}
	if got := c.HeldUntil("catalog"); !got.Equal(until) {
		t.Errorf("held until %v, want %v", got, until)
	}
	if got := c.HeldUntil("cart"); !got.IsZero() {
		t.Errorf("cart held until %v", got)
	}
	for range 2 {
		if err := r.Unhold("127.0.0.1:8080", "catalog"); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.HeldUntil("catalog"); !got.IsZero() {
		t.Errorf("still held until %v", got)
	}
}

func TestReleaseLeavesNothing(t *testing.T) {
	r := registry(t)
	c, _ := claim(t, r, "127.0.0.1:8080")
	if err := r.Hold("127.0.0.1:8080", "catalog", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := c.Release(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(r.dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
