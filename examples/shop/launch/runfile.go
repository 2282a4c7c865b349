package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Errors of [Find], for errors.Is.
var (
	// ErrNoShop: no launcher is running, or none at the address.
	ErrNoShop = errors.New("no shop is running")
	// ErrManyShops: several are running and no address was given.
	ErrManyShops = errors.New("several shops are running")
)

// RunFile says what a launcher runs. It is kept in a [Registry] as JSON.
type RunFile struct {
	// Launcher is the process id of the launcher.
	Launcher int `json:"launcher"`
	// Storefront is the host:port that browsers use.
	Storefront string    `json:"storefront"`
	Started    time.Time `json:"started"`
	Children   []State   `json:"children"`
}

// A Registry is the folder in which launchers keep their run files, each beside
// a lock that its launcher holds as long as it lives: a file left behind by one
// that was killed is never taken for a running shop, and its process ids, which
// others may have by now, are never used.
type Registry struct{ dir string }

// OpenRegistry returns the Registry of this user, in the user's cache folder.
func OpenRegistry() (Registry, error) {
	cache, err := os.UserCacheDir()
	if err != nil { // no HOME, as in some containers
		cache = filepath.Join(os.TempDir(), fmt.Sprintf("cache-%d", os.Getuid()))
	}
	return RegistryIn(filepath.Join(cache, "gabion"))
}

// RegistryIn returns the Registry in dir, which is made if need be.
func RegistryIn(dir string) (Registry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Registry{}, fmt.Errorf("launch: run files: %w", err)
	}
	return Registry{dir}, nil
}

// path returns the file of the shop at addr with the given ending.
func (r Registry) path(addr, ending string) string {
	name := strings.NewReplacer(":", "-", "[", "", "]", "", "%", "-", "/", "-").Replace(addr)
	return filepath.Join(r.dir, "shop-"+name+ending)
}

// Claim takes the place of the shop at addr. The error is [ErrLocked] if a
// launcher that runs has it. Files of one that runs no more are removed.
func (r Registry) Claim(addr string) (*Claim, error) {
	unlock, err := Lock(r.path(addr, ".lock"))
	if err != nil {
		return nil, err
	}
	c := &Claim{registry: r, addr: addr, unlock: unlock}
	c.clear()
	return c, nil
}

// Claim is the place of one running launcher in a [Registry].
type Claim struct {
	registry Registry
	addr     string
	unlock   func() error
}

// Write replaces the run file. Readers see the old one or the new one, whole.
func (c *Claim) Write(f RunFile) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("launch: run file: %w", err)
	}
	if err := replaceFile(c.registry.path(c.addr, ".json"), append(data, '\n')); err != nil {
		return fmt.Errorf("launch: run file: %w", err)
	}
	return nil
}

// Release removes the run file and gives the place up.
func (c *Claim) Release() error {
	c.clear()
	return c.unlock()
}

// clear removes the run file and the holds.
func (c *Claim) clear() {
	left, _ := filepath.Glob(c.registry.path(c.addr, ".hold-*")) // the pattern is sound
	for _, name := range append(left, c.registry.path(c.addr, ".json")) {
		os.Remove(name)
	}
}

// Find returns the shop at addr, or with an empty addr the only one that runs.
func (r Registry) Find(addr string) (RunFile, error) {
	running, err := r.running()
	if err != nil {
		return RunFile{}, err
	}
	var addrs []string
	for _, f := range running {
		if f.Storefront == addr {
			return f, nil
		}
		addrs = append(addrs, f.Storefront)
	}
	switch {
	case len(running) == 0 && addr == "":
		return RunFile{}, fmt.Errorf("%w; start one with: go run ./examples/shop", ErrNoShop)
	case addr != "" && len(running) == 0:
		return RunFile{}, fmt.Errorf("%w at %s, nor anywhere else; start one with: go run ./examples/shop -addr %s", ErrNoShop, addr, addr)
	case addr != "":
		return RunFile{}, fmt.Errorf("%w at %s, but at %s", ErrNoShop, addr, strings.Join(addrs, ", "))
	case len(running) > 1:
		return RunFile{}, fmt.Errorf("%w: choose with -addr one of %s", ErrManyShops, strings.Join(addrs, ", "))
	}
	return running[0], nil
}

// running returns the run files of all launchers that live.
func (r Registry) running() ([]RunFile, error) {
	names, err := filepath.Glob(filepath.Join(r.dir, "shop-*.json"))
	if err != nil {
		return nil, fmt.Errorf("launch: run files: %w", err)
	}
	var files []RunFile
	for _, name := range names {
		if !locked(strings.TrimSuffix(name, ".json") + ".lock") {
			continue
		}
		f, err := readRunFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it ended just now
		case err != nil:
			return nil, err
		default:
			files = append(files, f)
		}
	}
	return files, nil
}

func readRunFile(name string) (f RunFile, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return f, fmt.Errorf("launch: run file: %w", err)
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("launch: run file %s: %w", name, err)
	}
	return f, nil
}

// Hold keeps the launcher of the shop at addr from starting service again until
// then. What runs is not touched.
func (r Registry) Hold(addr, service string, until time.Time) error {
	if err := replaceFile(r.path(addr, ".hold-"+service), []byte(until.Format(time.RFC3339Nano))); err != nil {
		return fmt.Errorf("launch: hold %s: %w", service, err)
	}
	return nil
}

// Unhold ends a [Registry.Hold] before its time.
func (r Registry) Unhold(addr, service string) error {
	err := os.Remove(r.path(addr, ".hold-"+service))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("launch: release %s: %w", service, err)
	}
	return nil
}

// HeldUntil returns until when service is held down; the zero time if it is
// not. It fits [Config.HeldUntil].
func (c *Claim) HeldUntil(service string) time.Time {
	data, err := os.ReadFile(c.registry.path(c.addr, ".hold-"+service))
	if err != nil {
		return time.Time{}
	}
	until, err := time.Parse(time.RFC3339Nano, string(data))
	if err != nil {
		return time.Time{}
	}
	return until
}

// replaceFile writes a file so that readers see all of it or the old one.
func replaceFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // nothing to remove once renamed
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
