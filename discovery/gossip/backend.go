package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/internal/feed"
)

const (
	// wirePrefix begins the label of every packet. It keeps strangers away
	// that speak memberlist too, and later formats of ours.
	wirePrefix = "gabion1/"

	leaveLimit = time.Second // of telling the others at the end
	pushFanout = 32          // peers that hear a change of ours at once
)

// A Backend is one node of a cluster, which carries all instances that this
// process registers. All methods may be called at the same time.
type Backend struct {
	name    string
	label   string
	seeds   []string
	addr    netip.AddrPort // as others reach it
	profile profile
	log     *slog.Logger

	feed    *feed.Feed
	catalog *catalog
	queue   *memberlist.TransmitLimitedQueue
	list    *memberlist.Memberlist
	fetches chan record

	contestedAt atomic.Pointer[time.Time] // see contest
	trouble     atomic.Pointer[error]     // why nobody hears us

	cancel context.CancelFunc // ends joiner, fetch and the status of instances
	wg     sync.WaitGroup
	settle *time.Timer

	mu      sync.Mutex
	version version // of what this node announces
	own     map[string]*registration
	closed  bool
}

var _ discovery.Backend = (*Backend)(nil)

// New starts a node. It returns once the node listens; joining goes on in the
// background for as long as the node lives. The error joins whatever is wrong
// with c, or says why no port could be had.
func New(c Config) (*Backend, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b := newBackend(c)
	if err := b.listen(c); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.settle = time.AfterFunc(b.profile.settle, b.feed.Settle)
	j := &joiner{b: b, strangers: map[string]time.Time{}, warned: map[string]bool{}, wasAlone: true}
	b.wg.Go(func() { j.run(ctx) })
	b.wg.Go(func() { b.fetch(ctx) })
	return b, nil
}

func newBackend(c Config) *Backend {
	f, name := feed.New(), cmp.Or(c.Name, uniqueName())
	b := &Backend{
		name:    name,
		label:   c.Label,
		seeds:   c.Seeds,
		profile: network,
		log:     c.Logger,
		feed:    f,
		catalog: newCatalog(name, f),
		fetches: make(chan record, fetchQueue),
		version: version{epoch: uint64(time.Now().UnixNano())},
		own:     map[string]*registration{},
	}
	if c.stays() {
		b.profile = loopback
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.queue = &memberlist.TransmitLimitedQueue{NumNodes: b.catalog.members, RetransmitMult: 4}
	return b
}

// listen opens the port and starts memberlist on it.
func (b *Backend) listen(c Config) error {
	logger := newLogger(b.log)
	t, err := c.listen(logger)
	if err != nil {
		return err
	}
	b.addr, err = c.advertised(t.bound())
	if err == nil {
		b.list, err = memberlist.Create(b.settings(c, t, logger))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("gossip: %w", err), t.Shutdown())
	}
	return nil
}

// settings returns what memberlist is to know.
func (b *Backend) settings(c Config, t *transport, logger *log.Logger) *memberlist.Config {
	mc := b.profile.config()
	mc.Name, mc.Label, mc.SecretKey = b.name, wirePrefix+b.label, c.Key
	mc.Transport, mc.Logger = t, logger
	mc.BindAddr, mc.BindPort = t.bound().Addr().String(), int(t.bound().Port())
	mc.AdvertiseAddr, mc.AdvertisePort = b.addr.Addr().String(), int(b.addr.Port())
	d := delegate{b}
	mc.Delegate, mc.Events, mc.Alive, mc.Conflict = d, d, d, d
	return mc
}

// uniqueName names this process, in a way that tells people where it runs.
func uniqueName() string {
	host, err := os.Hostname()
	if err != nil || len(host) > 64 {
		host = "node"
	}
	return fmt.Sprintf("%s-%d-%08x", clean(host), os.Getpid(), rand.Uint32())
}

// Addr returns the ip:port at which other nodes reach this one: it can be
// their seed.
func (b *Backend) Addr() string { return b.addr.String() }

// Members returns how many nodes are in the cluster as this node sees it,
// itself included.
func (b *Backend) Members() int { return b.catalog.members() }

// Watch implements [discovery.Resolver]. A node that has just started, and has
// found no other yet, holds an empty list back for up to 1 s on loopback and
// 3 s on a network: it may only not have heard.
func (b *Backend) Watch(ctx context.Context, service string) iter.Seq2[[]discovery.Instance, error] {
	return b.feed.Watch(ctx, service)
}

// Close takes the instances of this node out everywhere, tells the others that
// it leaves, and ends every watch. It takes at most about 1 s. Whatever
// memberlist has under way at that moment ends by itself within 2 s. A second
// Close does nothing.
func (b *Backend) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		b.wg.Wait()
		return nil
	}
	b.closed = true
	msg, _ := b.revise(func() { clear(b.own) })
	b.mu.Unlock()

	b.feed.Close()
	b.settle.Stop()
	b.cancel()
	b.push(msg)
	if err := b.list.Leave(leaveLimit); err != nil {
		b.log.Debug("gossip: leave", "error", err) // the others will miss this node
	}
	err := b.list.Shutdown()
	b.catalog.close()
	b.wg.Wait()
	return err
}

// revise changes what this node announces and queues it for gossip. sent is
// closed when that is over. b.mu is held.
func (b *Backend) revise(change func()) (msg []byte, sent <-chan struct{}) {
	change()
	b.version.seq++
	r := record{node: b.name, version: b.version}
	for _, reg := range b.own {
		r.instances = append(r.instances, announced{reg.instance, reg.status})
	}
	slices.SortFunc(r.instances, func(x, y announced) int { return cmp.Compare(x.ID, y.ID) })
	b.catalog.merge(r)
	done := make(chan struct{})
	return b.pass(r, done), done
}

// push sends msg to peers at once, rather than at the next turn of gossip. It
// reports whether that were all of them.
func (b *Backend) push(msg []byte) (all bool) {
	peers := b.catalog.peers()
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	all = len(peers) <= pushFanout
	for _, p := range peers[:min(len(peers), pushFanout)] {
		if err := b.list.SendToAddress(p, msg); err != nil {
			b.log.Debug("gossip: push", "address", p.Addr, "error", err)
			all = false
		}
	}
	return all
}

// outdo makes what this node announces newer than v.
func (b *Backend) outdo(v version) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed && v.newerThan(b.version) {
		b.revise(func() { b.version = version{epoch: v.epoch + 1} })
	}
}
