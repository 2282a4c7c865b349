package gossip

import (
	"context"
	"log"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// A transport is memberlist's own on one address, with every connection ended
// by Shutdown, and with a guard where no key protects the cluster.
type transport struct {
	*memberlist.NetTransport
	ip      netip.Addr // listened on
	guarded bool
	packets chan *memberlist.Packet
	streams chan net.Conn

	ctx    context.Context // of all connections
	cancel context.CancelFunc
	down   chan struct{} // closed when the listeners are
	wg     sync.WaitGroup
	once   sync.Once
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// listen opens TCP and UDP on addr.
func listen(addr netip.AddrPort, guarded bool, logger *log.Logger) (*transport, error) {
	inner, err := bind(addr, logger)
	if err != nil {
		return nil, err
	}
	t := &transport{
		NetTransport: inner,
		ip:           addr.Addr(),
		guarded:      guarded,
		packets:      make(chan *memberlist.Packet),
		streams:      make(chan net.Conn),
		down:         make(chan struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(t.passPackets)
	t.wg.Go(t.passStreams)
	return t, nil
}

// bind takes a port for both TCP and UDP. A free port that the kernel picks
// for one may be taken for the other, so that is tried a few times.
func bind(addr netip.AddrPort, logger *log.Logger) (inner *memberlist.NetTransport, err error) {
	tries := 1
	if addr.Port() == 0 {
		tries = 10
	}
	for range tries {
		inner, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{addr.Addr().String()},
			BindPort:  int(addr.Port()),
			Logger:    logger,
		})
		if err == nil || !inUse(err) {
			break
		}
	}
	return inner, err
}

// inUse reports whether a port was taken. memberlist flattens the error, so
// only its text is left.
func inUse(err error) bool {
	return strings.Contains(err.Error(), "address already in use") ||
		strings.Contains(err.Error(), "Only one usage of each socket address") // Windows
}

// bound returns the address with the port that was had.
func (t *transport) bound() netip.AddrPort {
	return netip.AddrPortFrom(t.ip, uint16(t.GetAutoBindPort()))
}

func (t *transport) passPackets() {
	for {
		select {
		case p := <-t.NetTransport.PacketCh():
			if t.guarded && !packetAllowed(p.Buf) {
				continue
			}
			select {
			case t.packets <- p:
			case <-t.ctx.Done(): // drained, so that the listener can end
			}
		case <-t.down:
			return
		}
	}
}

func (t *transport) passStreams() {
	for {
		select {
		case c := <-t.NetTransport.StreamCh():
			c = t.own(c)
			select {
			case t.streams <- c:
			case <-t.ctx.Done():
				_ = c.Close()
			}
		case <-t.down:
			return
		}
	}
}

// own makes c end with the transport.
func (t *transport) own(c net.Conn) net.Conn {
	if t.guarded {
		c = &guardedConn{Conn: c}
	}
	return &ownedConn{Conn: c, release: context.AfterFunc(t.ctx, func() { _ = c.Close() })}
}

type ownedConn struct {
	net.Conn
	release func() bool
}

func (c *ownedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	c, err := d.DialContext(t.ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	return t.own(c), nil
}

// Shutdown closes listeners and connections and waits. A second call does
// nothing.
func (t *transport) Shutdown() (err error) {
	t.once.Do(func() {
		t.cancel()
		err = t.NetTransport.Shutdown()
		close(t.down)
		t.wg.Wait()
	})
	return err
}
