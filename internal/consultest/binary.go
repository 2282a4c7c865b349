package consultest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Version is the Consul that is built when PATH has none. It is pinned in
// tools/consul/go.mod.
const Version = "v1.22.3"

// Path returns the consul program, building it if need be. It waits for the
// build until limit has passed and tells progress about it; past the limit the
// build goes on in the background and the error says so.
func Path(limit time.Duration, progress io.Writer) (string, error) {
	if path, err := exec.LookPath("consul"); err == nil {
		return path, nil
	}
	c, err := newCache()
	if err != nil {
		return "", err
	}
	if c.built() {
		return c.binary(), nil
	}
	if err := c.await(limit, progress); err != nil {
		return "", err
	}
	return c.binary(), nil
}

// cache is the directory that holds one version of the program.
type cache struct{ dir string }

func newCache() (cache, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return cache{}, fmt.Errorf("consultest: no place for the consul program: %w", err)
	}
	c := cache{filepath.Join(base, "gabion", "consul-"+Version)}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return cache{}, fmt.Errorf("consultest: %w", err)
	}
	return c, nil
}

func (c cache) binary() string { return filepath.Join(c.dir, "consul") }
func (c cache) log() string    { return filepath.Join(c.dir, "build.log") }
func (c cache) lock() string   { return filepath.Join(c.dir, "build.lock") }

// built reports whether the program is there. It appears by a rename, so it is
// whole when it is seen.
func (c cache) built() bool {
	info, err := os.Stat(c.binary())
	return err == nil && info.Mode().IsRegular()
}

// moduleDir returns tools/consul of the source tree that the working directory
// lies in. Tests run in their package's directory.
func moduleDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("consultest: %w", err)
	}
	for {
		tools := filepath.Join(dir, "tools", "consul")
		if _, err := os.Stat(filepath.Join(tools, "go.mod")); err == nil {
			return tools, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("consultest: not inside gabion's source tree: no tools/consul above the working directory")
		}
		dir = parent
	}
}
