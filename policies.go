package gabion

import (
	"context"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/transport/policysource"
)

// policiesTimeout is how long a service that starts waits for a source of
// policies to answer. After that it goes by what it was built with, and takes the
// source's policies over when they come.
const policiesTimeout = 2 * time.Second

// openPolicies makes followers of the sources that are asked for. They run while
// the service does.
func (s *Service) openPolicies() error {
	follow := func(src policysource.Source) {
		s.followers = append(s.followers, policysource.NewFollower(src, s.client, s.log))
	}
	if s.cfg.policyFile != "" {
		follow(policysource.File(s.cfg.policyFile))
	}
	if s.cfg.policyKV {
		kv, err := s.policyStore()
		if err != nil {
			return fmt.Errorf("gabion: policies in Consul: %w", err)
		}
		follow(policysource.Keys(kv, policysource.Prefix))
	}
	return nil
}

// policyStore returns the backend if it has a key-value store, or else a Consul as
// the environment has it.
func (s *Service) policyStore() (policysource.KV, error) {
	if kv, ok := s.backend.(policysource.KV); ok {
		return kv, nil
	}
	b, err := consul.New(consul.Config{}, consul.WithLogger(s.log))
	if err != nil {
		return nil, err
	}
	s.onStop("policy store", func(context.Context) error { return b.Close() })
	return b, nil
}

// awaitPolicies waits until every source of policies has answered once, with or
// without success, but not for ever.
func (s *Service) awaitPolicies(ctx context.Context) {
	late := time.NewTimer(policiesTimeout)
	defer late.Stop()
	for _, f := range s.followers {
		select {
		case <-f.First():
		case <-ctx.Done():
			return
		case <-late.C:
			s.log.Warn("gabion: policies are late, starting without them", "source", f.Status().Source)
			return
		}
	}
}
