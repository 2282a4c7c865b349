package gossip

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// A profile is how patient the cluster is.
type profile struct {
	// Failure detection: each member is probed about once per probe interval
	// by somebody. One that does not answer within probe, neither by UDP nor
	// by TCP nor through another member, is suspected, and left out
	// suspicion x probe (x log10 of the members, when there are more than 10)
	// and a second opinion later, unless it objects.
	probe, probeTimeout time.Duration
	suspicion           int

	gossip   time.Duration // between packets with news
	exchange time.Duration // between full exchanges with a random member
	stream   time.Duration // limit of one such exchange
	rejoin   time.Duration // between looks at the seeds
	settle   time.Duration // for how long a lone node doubts that it is alone
	packet   int           // bytes of a record that travels in a packet
	udp      int           // bytes of a packet
}

// loopback finds a crashed process in 2.5 to 3 s and forgives one that was
// stopped for 2 s: on one machine the only delay is a busy CPU. Packets may be
// large, as no router sees them.
var loopback = profile{
	probe: 500 * time.Millisecond, probeTimeout: 300 * time.Millisecond, suspicion: 3,
	gossip: 50 * time.Millisecond, exchange: 3 * time.Second, stream: time.Second,
	rejoin: 2 * time.Second, settle: time.Second,
	packet: 7 << 10, udp: 8 << 10,
}

// network is memberlist's own advice for local networks, with more frequent
// exchanges: a crash is seen in 5.5 to 6.5 s.
var network = profile{
	probe: time.Second, probeTimeout: 500 * time.Millisecond, suspicion: 4,
	gossip: 200 * time.Millisecond, exchange: 15 * time.Second, stream: 3 * time.Second,
	rejoin: 5 * time.Second, settle: 3 * time.Second,
	packet: 1000, udp: 1400,
}

// verdict is for how long others suspect a node before they give it up, at
// least.
func (p profile) verdict() time.Duration { return time.Duration(p.suspicion) * p.probe }

// config returns memberlist's settings for p.
func (p profile) config() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.ProbeInterval, c.ProbeTimeout = p.probe, p.probeTimeout
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = p.suspicion, 2
	c.AwarenessMaxMultiplier = 3 // a slow node may take 3 times as long to judge others
	c.GossipInterval, c.PushPullInterval = p.gossip, p.exchange
	c.GossipToTheDeadTime = 30 * time.Second
	c.TCPTimeout = p.stream
	c.UDPBufferSize = p.udp
	c.EnableCompression = false             // and what is compressed is not let in, see guard
	c.DeadNodeReclaimTime = time.Nanosecond // a name is free again as soon as its node is dead
	return c
}
