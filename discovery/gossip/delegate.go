package gossip

import (
	"errors"
	"slices"

	"github.com/hashicorp/memberlist"
)

// A delegate is what memberlist calls. Some of its methods run under locks of
// memberlist, so none calls memberlist or waits.
type delegate struct{ b *Backend }

// The interfaces are held to.
var (
	_ memberlist.Delegate         = delegate{}
	_ memberlist.EventDelegate    = delegate{}
	_ memberlist.AliveDelegate    = delegate{}
	_ memberlist.ConflictDelegate = delegate{}
)

// NodeMeta returns nothing: what a node has to say rarely fits in there.
func (delegate) NodeMeta(int) []byte { return nil }

// NotifyMsg takes in a record or the hint that there is one. What is news is
// passed on.
func (d delegate) NotifyMsg(msg []byte) {
	if len(msg) == 0 {
		return
	}
	switch msg[0] {
	case kindRecord:
		r, err := decodeRecord(msg[1:])
		if err != nil {
			d.b.dropped(err)
			return
		}
		d.b.learn(r)
	case kindHint:
		r, err := decodeHint(msg[1:])
		if err != nil {
			d.b.dropped(err)
			return
		}
		d.b.missing(r)
	}
}

// GetBroadcasts returns what fits into a packet.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.b.queue.GetBroadcasts(overhead, limit)
}

// LocalState returns all that this node knows.
func (d delegate) LocalState(bool) []byte { return encodeState(d.b.catalog.records()) }

// MergeRemoteState takes in all that another node knows.
func (d delegate) MergeRemoteState(buf []byte, _ bool) {
	records, err := decodeState(buf)
	if err != nil {
		d.b.dropped(err)
		return
	}
	d.b.learn(records...)
}

// NotifyJoin, NotifyLeave and NotifyUpdate follow who is alive. An address
// changes only when a node joins.
func (d delegate) NotifyJoin(n *memberlist.Node)  { d.b.catalog.joined(n.FullAddress()) }
func (d delegate) NotifyLeave(n *memberlist.Node) { d.b.catalog.left(n.Name) }
func (delegate) NotifyUpdate(*memberlist.Node)    {}

// NotifyAlive refuses members with names that no record could have, and more
// members than an exchange may name. That this delegate is there makes
// memberlist drop messages without versions too, which it would stumble over.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	if n.Name == "" || len(n.Name) > maxText {
		return errors.New("bad node name")
	}
	if _, known := d.b.catalog.address(n.Name); !known && d.b.catalog.members() >= maxMembers {
		return errors.New("too many members")
	}
	return nil
}

// NotifyConflict is told that two addresses go by one name. When it is ours,
// somebody still believes in a process that had the name before.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	if existing.Name != d.b.name {
		return
	}
	if !d.b.contested() {
		d.b.log.Warn("gossip: another process goes by this node's name",
			"node", clean(d.b.name), "address", other.Address())
	}
	d.b.contest()
}

// learn merges records and passes on the news. A record of our own that is
// newer than what we said comes from an earlier process with this node's name:
// it is outdone.
func (b *Backend) learn(records ...record) {
	own := func(r record) bool { return r.node == b.name }
	for _, r := range records {
		if own(r) {
			b.outdo(r.version)
		}
	}
	for _, r := range b.catalog.merge(slices.DeleteFunc(records, own)...) {
		b.pass(r, nil)
	}
}

// missing asks for a record that a hint speaks of, unless it is known.
func (b *Backend) missing(r record) {
	if r.node == b.name || !r.newerThan(b.catalog.knows(r.node)) {
		return
	}
	select {
	case b.fetches <- r:
	default: // the next exchange of states brings it
	}
}

// pass queues r to be gossiped; sent is closed when that is over, or a newer
// record took its place.
func (b *Backend) pass(r record, sent chan struct{}) []byte {
	msg := encodeRecord(r)
	if len(msg) > b.profile.packet {
		msg = encodeHint(r)
	}
	b.queue.QueueBroadcast(&broadcast{node: r.node, msg: msg, sent: sent})
	return msg
}

// dropped notes a message that made no sense.
func (b *Backend) dropped(err error) {
	b.log.Debug("gossip: message dropped", "error", clean(err.Error()))
}

// A broadcast is a record on its way. The newest about a node replaces the one
// before.
type broadcast struct {
	node string
	msg  []byte
	sent chan struct{} // may be nil
}

var _ memberlist.NamedBroadcast = (*broadcast)(nil)

func (m *broadcast) Name() string    { return m.node }
func (m *broadcast) Message() []byte { return m.msg }

func (m *broadcast) Invalidates(o memberlist.Broadcast) bool {
	other, ok := o.(*broadcast)
	return ok && other.node == m.node
}

// Finished is called once, under the lock of the queue.
func (m *broadcast) Finished() {
	if m.sent != nil {
		close(m.sent)
	}
}
