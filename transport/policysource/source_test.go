package policysource_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/policysource"
)

// yields are what a source has said.
type yields struct {
	mu   sync.Mutex
	docs []string
	errs []error
}

func (y *yields) take(docs []policysource.Document, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if err != nil {
		y.errs = append(y.errs, err)
		return
	}
	for _, d := range docs {
		y.docs = append(y.docs, string(d.Data))
	}
}

// watching runs run while s is watched, in a bubble, and returns what s said.
func watching(t *testing.T, s policysource.Source, run func()) *yields {
	y := &yields{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for docs, err := range s.Watch(ctx) {
				y.take(docs, err)
			}
		}()
		synctest.Wait()
		run()
		cancel()
	})
	return y
}

// A change is noticed within a second, even one that changes neither the size nor
// the time of the file.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies.json")
	stamp := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	write := func(text string) {
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, stamp, stamp)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	y := watching(t, policysource.File(path), func() {
		time.Sleep(time.Minute)
		write("1")
		write("2")
		time.Sleep(time.Hour)
		write("2")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		write("3")
		write(strings.Repeat(" ", 1<<20+1))
	})
	if got := strings.Join(y.docs, ","); got != "1,2,3" {
		t.Errorf("documents %s, want 1,2,3", got)
	}
	if len(y.errs) != 3 || !errors.Is(y.errs[0], fs.ErrNotExist) || !strings.Contains(y.errs[0].Error(), path) ||
		!strings.Contains(y.errs[0].Error(), "create") || !strings.Contains(y.errs[2].Error(), "larger") {
		t.Errorf("errors %v", y.errs)
	}
}

// Where a symbolic link points to counts, as with volumes of Kubernetes.
func TestFileBehindALink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "policies.json")
	for _, name := range []string{"1", "2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "1"), link); err != nil {
		t.Fatal(err)
	}
	y := watching(t, policysource.File(link), func() {
		if err := errors.Join(os.Symlink(filepath.Join(dir, "2"), link+".new"), os.Rename(link+".new", link)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	})
	if got := strings.Join(y.docs, ","); got != "1,2" {
		t.Errorf("documents %s, want 1,2", got)
	}
}

// storeOf is a store that says one thing after the other.
type storeOf []map[string][]byte

func (s storeOf) WatchKV(context.Context, string) iter.Seq2[map[string][]byte, error] {
	return func(yield func(map[string][]byte, error) bool) {
		for _, m := range s {
			var err error
			if m == nil {
				err = errors.New("down")
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// target takes what is valid.
type target struct{ got []transport.Policies }

func (*target) ValidatePolicies(p transport.Policies) error { return p.Validate() }
func (t *target) SetPoliciesFrom(_ string, p transport.Policies) error {
	t.got = append(t.got, p)
	return nil
}

// A mistake in one key keeps nobody from changing another, nor does a key that
// was never good say anything.
func TestKeysAreRefusedOneByOne(t *testing.T) {
	type m = map[string][]byte
	key := func(s string) []byte { return []byte(s) }
	var to target
	f := policysource.NewFollower(policysource.Keys(storeOf{
		m{"cart": key(`{"timeout":"1s"}`), "pricing": key(`{"timeout":"1s"}`), "a/b": key(`{}`)},
		nil,
		m{"cart": key(`{"timeout":`), "pricing": key(`{"timeout":"2s"}`), "stock": key(``)},
		m{"cart": key(`{"timeout":`), "stock": key(`{"timeout":"3s"}`)},
	}, "p/"), &to, nil)
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range to.got {
		got = append(got, fmt.Sprint(p.Services["cart"].Timeout, p.Services["pricing"].Timeout, p.Services["stock"].Timeout, len(p.Services)))
	}
	if want := "1s 1s 0s 2, 1s 2s 0s 2, 1s 0s 3s 2"; strings.Join(got, ", ") != want {
		t.Errorf("cart, pricing and stock, and how many: %s; want %s", strings.Join(got, ", "), want)
	}
	s := f.Status()
	if len(s.Documents) != 2 || s.Documents[0].Name != "p/cart" || s.Documents[0].Err == nil || s.Documents[0].Accepted.IsZero() ||
		s.Documents[1].Err != nil || s.Source != "keys p/" || s.Err != nil {
		t.Errorf("status %+v", s)
	}
	if !strings.Contains(s.Documents[0].Err.Error(), "p/cart") {
		t.Errorf("the reason does not name the key: %v", s.Documents[0].Err)
	}
}
