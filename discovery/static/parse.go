package static

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gabion-go/gabion/discovery"
)

const scheme = "static:"

// parse reads static:SERVICE=ADDR,ADDR;SERVICE=ADDR.
func parse(url string) (map[string][]discovery.Instance, error) {
	rest, ok := strings.CutPrefix(url, scheme)
	if !ok {
		return nil, at(0, errors.New("want it to begin with static"))
	}
	lists := map[string][]discovery.Instance{}
	if rest == "" {
		return lists, nil
	}
	pos := len(scheme)
	for entry := range strings.SplitSeq(rest, ";") {
		if err := parseEntry(lists, entry, pos); err != nil {
			return nil, err
		}
		pos += len(entry) + 1
	}
	return lists, nil
}

// parseEntry reads SERVICE=ADDR,ADDR, which begins at pos in the URL.
func parseEntry(lists map[string][]discovery.Instance, entry string, pos int) error {
	service, addrs, ok := strings.Cut(entry, "=")
	if !ok {
		return at(pos, fmt.Errorf("want service=address in %.64q", entry))
	}
	if err := discovery.ValidateName(service); err != nil {
		return at(pos, err)
	}
	if lists[service] != nil {
		return at(pos, fmt.Errorf("service %q stands here a second time", service))
	}
	pos += len(service) + 1
	seen := map[string]bool{}
	for addr := range strings.SplitSeq(addrs, ",") {
		if err := discovery.ValidateAddr(addr); err != nil {
			return at(pos, err)
		}
		if seen[addr] {
			return at(pos, fmt.Errorf("address %q stands here a second time", addr))
		}
		seen[addr] = true
		lists[service] = append(lists[service], discovery.Instance{Service: service, Addr: addr})
		pos += len(addr) + 1
	}
	return nil
}

// at says where in the URL err is; pos counts from 0.
func at(pos int, err error) error {
	return fmt.Errorf("static: URL, character %d: %w", pos+1, err)
}
