package transport

import (
	"maps"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/discovery/static"
)

// Names from outside cannot fill the memory: there is room for so many services,
// and those that are known stay callable when it is full.
func TestServicesAreBounded(t *testing.T) {
	backend, err := static.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(backend)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Close()
		_ = backend.Close()
	}()
	ask := func(host string) error {
		_, err := c.service(&url.URL{Scheme: "http", Host: host})
		return err
	}
	if err := ask("pricing"); err != nil {
		t.Fatal(err)
	}
	before := *c.services.Load()
	full := maps.Clone(before)
	for i := range 10_000 - 2 { // all the same one: only how many matters
		full[serviceKey{host: "s" + strconv.Itoa(i)}] = before[serviceKey{host: "pricing"}]
	}
	c.services.Store(&full)
	if err := ask("last"); err != nil {
		t.Errorf("the 10,000th service: %v", err)
	}
	if err := ask("one-more"); err == nil || !strings.Contains(err.Error(), "10000 services are in use") {
		t.Errorf("the 10,001st service: %v, want that there is no room", err)
	}
	if err := ask("pricing"); err != nil {
		t.Errorf("one that is known: %v", err)
	}
	known := *c.services.Load()
	c.services.Store(&map[serviceKey]*service{
		{host: "pricing"}: known[serviceKey{host: "pricing"}], {host: "last"}: known[serviceKey{host: "last"}],
	})
}
