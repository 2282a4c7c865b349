package run

import (
	"crypto/rand"
	"errors"
	"strings"

	"github.com/gabion-go/gabion/discovery/gossip"
)

// seed is the launcher's own node in the gossip of its services.
type seed struct {
	url   string // for the services
	close func() error
}

// openSeed opens a node under a label that no other shop has.
func openSeed() (seed, error) {
	label := "shop-" + strings.ToLower(rand.Text()[:8])
	node, err := gossip.New(gossip.Config{Bind: "127.0.0.1:0", Label: label})
	if err != nil {
		return seed{}, errors.Join(errors.New("no node to find the services by"), err)
	}
	return seed{url: "gossip://" + node.Addr() + "?label=" + label, close: node.Close}, nil
}
