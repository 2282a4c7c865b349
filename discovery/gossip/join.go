package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	firstPause   = 100 * time.Millisecond // after an attempt that found nobody
	contestPause = 500 * time.Millisecond // while our name belongs to a dead process
	strangerRest = 30 * time.Second       // before the next knock where a stranger lives
	lookupLimit  = 2 * time.Second        // of resolving one seed
	fetchQueue   = 64                     // hints waiting for their record
)

// A joiner finds the cluster and keeps looking for parts of it that are not
// joined yet: seeds that were down, the other side of a healed partition, two
// groups that formed at the same moment.
type joiner struct {
	b         *Backend
	strangers map[string]time.Time // meeting places not to knock at before
	warned    map[string]bool      // addresses whose refusal was logged
	wasAlone  bool
}

// run tries again and again until ctx ends.
func (j *joiner) run(ctx context.Context) {
	b := j.b
	for round := 0; ; round++ {
		err := j.round(ctx)
		if ctx.Err() != nil {
			return
		}
		alone := b.catalog.members() < 2
		if !alone {
			b.feed.Settle()
		}
		j.note(alone, err)
		pause, begin := j.pause(round, alone), time.Now()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if late := time.Since(begin) - pause; late > b.profile.verdict() {
			b.contest() // this process was stopped: the others may have given it up
		}
	}
}

// round exchanges states with every target at the same time. The error joins
// those of all targets that failed.
func (j *joiner) round(ctx context.Context) error {
	b := j.b
	targets, err := j.targets(ctx)
	failures := make([]error, len(targets))
	var wg sync.WaitGroup
	for i, addr := range targets {
		wg.Go(func() { _, failures[i] = b.list.Join([]string{addr}) })
	}
	wg.Wait()
	for i, addr := range targets {
		j.judge(addr, failures[i])
	}
	return errors.Join(errors.Join(failures...), err)
}

// targets returns the addresses to join: seeds, or meeting places, that are
// no members. While this node is contested the members must hear of it again.
func (j *joiner) targets(ctx context.Context) ([]string, error) {
	known := map[string]bool{j.b.addr.String(): true}
	if !j.b.contested() {
		for _, p := range j.b.catalog.peers() {
			known[p.Addr] = true
		}
	}
	addrs, err := j.candidates(ctx)
	return slices.DeleteFunc(addrs, func(a string) bool { return known[a] }), err
}

func (j *joiner) candidates(ctx context.Context) ([]string, error) {
	if len(j.b.seeds) > 0 {
		return resolve(ctx, j.b.seeds)
	}
	var out []string
	for _, p := range meetingPlaces(j.b.label) {
		if a := p.String(); time.Now().After(j.strangers[a]) {
			out = append(out, a)
		}
	}
	return out, nil
}

// judge draws the consequence of an attempt at addr.
func (j *joiner) judge(addr string, err error) {
	if err == nil {
		delete(j.warned, addr)
		return
	}
	refused := strings.Contains(err.Error(), "refused")
	if !refused {
		j.strangers[addr] = time.Now().Add(strangerRest)
	}
	if otherKey(err) && !j.warned[addr] {
		j.warned[addr] = true
		j.b.log.Warn("gossip: a node uses another encryption key, or only one of us uses any", "address", addr)
	}
}

// otherKey reports whether a peer could not be understood. memberlist has only
// texts for it.
func otherKey(err error) bool {
	return strings.Contains(err.Error(), "decrypt") || strings.Contains(err.Error(), "encrypt")
}

// note keeps what Registration.Err says, and logs when that changes.
func (j *joiner) note(alone bool, err error) {
	b := j.b
	if alone && err != nil && len(b.seeds) > 0 {
		err = fmt.Errorf("gossip: no seed answers: %w", errors.New(clean(err.Error())))
		if b.trouble.Swap(&err) == nil {
			b.log.Warn("gossip: no seed answers, trying on", "error", err)
		}
	} else {
		b.trouble.Store(nil)
	}
	if alone != j.wasAlone {
		j.wasAlone = alone
		if alone {
			b.log.Info("gossip: alone", "node", b.name)
		} else {
			b.log.Info("gossip: joined", "node", b.name, "members", b.catalog.members())
		}
	}
}

// pause returns the time until the next round. It grows with the cluster, so
// that the knocking of all together does not.
func (j *joiner) pause(round int, alone bool) time.Duration {
	p := j.b.profile.rejoin
	switch {
	case j.b.contested():
		p = contestPause
	case alone:
		p = min(p, firstPause<<min(round, 10))
	default:
		p *= time.Duration(1 + j.b.catalog.members()/10)
	}
	return p*3/4 + rand.N(p/2)
}

// contest notes that others may take this node for dead, or a dead process for
// this node.
func (b *Backend) contest() {
	now := time.Now()
	b.contestedAt.Store(&now)
}

// contested reports whether that may still be so: they know better once they
// have suspected the dead one for long enough.
func (b *Backend) contested() bool {
	last := b.contestedAt.Load()
	return last != nil && time.Since(*last) < 4*b.profile.verdict()
}

// resolve returns every address of seeds as ip:port, without duplicates.
func resolve(ctx context.Context, seeds []string) ([]string, error) {
	var out []string
	var errs []error
	for _, s := range seeds {
		host, port, _ := net.SplitHostPort(s)
		ips, err := lookup(ctx, host)
		if err != nil {
			errs = append(errs, err)
		}
		for _, ip := range ips {
			n, _ := strconv.ParseUint(port, 10, 16) // checked by Config
			out = append(out, netip.AddrPortFrom(ip.Unmap(), uint16(n)).String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out), errors.Join(errs...)
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// fetch gets records that did not fit into a packet, by an exchange of states
// with the node that they are about.
func (b *Backend) fetch(ctx context.Context) {
	for {
		select {
		case r := <-b.fetches:
			addr, ok := b.catalog.address(r.node)
			if ok && r.newerThan(b.catalog.knows(r.node)) {
				if _, err := b.list.Join([]string{addr}); err != nil {
					b.log.Debug("gossip: fetch", "node", clean(r.node), "error", clean(err.Error()))
				}
			}
		case <-ctx.Done():
			return
		}
	}
}
