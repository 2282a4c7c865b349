package gossip_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/gossip"
	"github.com/gabion-go/gabion/internal/leaktest"
)

// freeAddr returns a loopback address where nothing listens at this moment. Its
// port is below those that systems give to who asks for any, so that no other
// test is given it meanwhile.
func freeAddr(t *testing.T) string {
	t.Helper()
	for {
		addr := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", addr)
		_ = tcp.Close()
		if err == nil {
			_ = udp.Close()
			return addr
		}
	}
}

// TestLateSeed starts nodes whose seed comes last.
func TestLateSeed(t *testing.T) {
	leaktest.Check(t)
	l, seed := label(), freeAddr(t)
	a := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{seed}})
	reg := register(t, a, instance("pricing", 1))
	eventually(t, "error without a seed", func() bool { return reg.Err() != nil })
	b := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{seed}})
	late := start(t, gossip.Config{Label: l, Bind: seed, Seeds: []string{seed}})
	sees(t, late, "pricing", 1)
	sees(t, b, "pricing", 1)
	eventually(t, "registration without an error", func() bool { return reg.Err() == nil })
}

// TestIslandsMerge lets two groups form that know nothing of each other, and
// then gives one of them a member whose seeds are in both.
func TestIslandsMerge(t *testing.T) {
	leaktest.Check(t)
	l := label()
	pair := func(n int) []*gossip.Backend {
		lone := freeAddr(t) // a seed that is never there keeps a node off the meeting places
		a := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{lone}})
		b := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{a.Addr()}})
		register(t, a, instance("pricing", n))
		eventually(t, "pair", members(2, a, b))
		return []*gossip.Backend{a, b}
	}
	all := append(pair(1), pair(2)...)
	for _, b := range all {
		sees(t, b, "pricing", 1)
	}
	all = append(all, start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{all[0].Addr(), all[2].Addr()}}))
	eventually(t, "cluster of five", members(5, all...))
	for _, b := range all {
		sees(t, b, "pricing", 2)
	}
}

// TestSameNameReturns has a node die without leaving and come back under its
// name at another address before anybody missed it.
func TestSameNameReturns(t *testing.T) {
	t.Parallel()
	l := label()
	watching := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{freeAddr(t)}})
	seeds := []string{watching.Addr()}
	first := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: seeds, Name: "mike"})
	register(t, first, instance("pricing", 1))
	sees(t, watching, "pricing", 1)

	second := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: seeds, Name: "mike"})
	register(t, second, instance("pricing", 2))
	_ = first.Crash()
	took := eventually(t, "node at its new address", func() bool {
		return watching.PeerAddr("mike") == second.Addr()
	})
	t.Logf("the new address was there after %v", took)
	eventually(t, "instance of the second", func() bool { return has(t, watching, "pricing", "127.0.0.1:20002") })
	if has(t, watching, "pricing", "127.0.0.1:20001") {
		t.Error("the instance of the first is still listed")
	}
}

// has reports whether b lists addr for service at this moment.
func has(t *testing.T, b discovery.Resolver, service, addr string) bool {
	t.Helper()
	for list := range b.Watch(t.Context(), service) {
		for _, in := range list {
			if in.Addr == addr {
				return true
			}
		}
		break
	}
	return false
}

// TestOtherKey tries to join with another key, and with none.
func TestOtherKey(t *testing.T) {
	leaktest.Check(t)
	l := label()
	key := func(b string) []byte { return []byte(strings.Repeat(b, 32)) }
	seed := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Key: key("a")})
	friend := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Key: key("a"), Seeds: []string{seed.Addr()}})
	register(t, seed, instance("pricing", 1))
	sees(t, friend, "pricing", 1)
	for name, k := range map[string][]byte{"another": key("b"), "none": nil} {
		var out logBuffer
		stranger := start(t, gossip.Config{
			Label: l, Bind: "127.0.0.1:0", Key: k, Seeds: []string{seed.Addr()},
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
		})
		reg := register(t, stranger, instance("pricing", 2))
		eventually(t, name+" key: error", func() bool { return reg.Err() != nil })
		eventually(t, name+" key: log", func() bool { return strings.Contains(out.String(), "another encryption key") })
		if strings.Contains(out.String(), strings.Repeat("b", 32)) {
			t.Error("the key is in the log")
		}
		sees(t, stranger, "pricing", 1) // only its own
	}
	// Waited for: on a busy machine members can miss each other for a moment.
	eventually(t, "cluster of two", members(2, seed, friend))
	sees(t, friend, "pricing", 1)
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestLabelsStayApart runs two clusters through the same seed address.
func TestLabelsStayApart(t *testing.T) {
	leaktest.Check(t)
	a := start(t, gossip.Config{Label: label(), Bind: "127.0.0.1:0"})
	b := start(t, gossip.Config{Label: label(), Bind: "127.0.0.1:0", Seeds: []string{a.Addr()}})
	register(t, a, instance("pricing", 1))
	reg := register(t, b, instance("cart", 1))
	eventually(t, "refusal", func() bool { return reg.Err() != nil })
	if a.Members() != 1 || b.Members() != 1 {
		t.Errorf("%d and %d members, want each alone", a.Members(), b.Members())
	}
}

// TestChangesAreSeenByAll registers and deregisters in a cluster of five that
// found itself with nothing configured.
func TestChangesAreSeenByAll(t *testing.T) {
	leaktest.Check(t)
	l := label()
	nodes := []*gossip.Backend{start(t, gossip.Config{Label: l})}
	for range 4 {
		nodes = append(nodes, start(t, gossip.Config{Label: l}))
	}
	eventually(t, "cluster of five", members(5, nodes...))
	for i, b := range nodes {
		register(t, b, instance("pricing", i))
	}
	for _, b := range nodes {
		sees(t, b, "pricing", 5)
	}
	var worst time.Duration
	for range 20 {
		r := register(t, nodes[1], instance("cart", 1))
		for _, b := range nodes {
			worst = max(worst, sees(t, b, "cart", 1))
		}
		if err := r.Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, b := range nodes {
			worst = max(worst, sees(t, b, "cart", 0))
		}
	}
	t.Logf("the slowest change was seen everywhere after %v", worst)
}

// TestHostileTraffic throws nonsense at a node that has no key, by UDP and by
// TCP, some of it slowly. The node must go on working.
func TestHostileTraffic(t *testing.T) {
	leaktest.Check(t)
	l := label()
	a := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0"})
	b := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{a.Addr()}})
	eventually(t, "pair", members(2, a, b))
	for _, msg := range nonsense("gabion1/" + l) {
		sendPacket(t, a.Addr(), msg)
		sendStream(t, a.Addr(), msg)
	}
	slow, err := net.Dial("tcp", a.Addr()) // says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	register(t, b, instance("pricing", 1))
	sees(t, a, "pricing", 1)
	eventually(t, "pair after the noise", members(2, a, b))
}

// nonsense makes messages that bear the right label and are wrong after it.
func nonsense(label string) [][]byte {
	head := append([]byte{244, byte(len(label))}, label...)
	var out [][]byte
	for kind := range 16 {
		for _, body := range []string{
			"", "\x00", "\x80", "\xff\xff\xff\xff\xff",
			"\x81\xaaUserMsgLen\xcf\x7f\xff\xff\xff\xff\xff\xff\xff",               // a message of 2^63 bytes
			"\x81\xa5Nodes\x01\x81\xa3Vsn\xa1\x01",                                 // a member with one version
			"\x83\xa4Node\xa1x\xa4Addr\xa4\x7f\x00\x00\x01\xa3Vsn\xa3\x01\x05\x02", // with three
			"\x82\xa4Algo\x00\xa3Buf\xa3\x80\x01\x02",                              // compressed to nothing
		} {
			msg := append(append([]byte{}, head...), byte(kind))
			out = append(out, append(msg, body...))
		}
	}
	for range 200 {
		msg := append([]byte{}, head...)
		for range rand.IntN(100) {
			msg = append(msg, byte(rand.Uint32()))
		}
		out = append(out, msg)
	}
	return out
}

func sendPacket(t *testing.T, addr string, msg []byte) {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(msg); err != nil {
		t.Fatal(err)
	}
}

func sendStream(t *testing.T, addr string, msg []byte) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write(msg)
}

// TestLimits registers what peers would refuse to hear.
func TestLimits(t *testing.T) {
	b := start(t, gossip.Config{Label: label(), Bind: "127.0.0.1:0"})
	in := instance("pricing", 1)
	in.Meta = map[string]string{}
	for i := range 65 {
		in.Meta[fmt.Sprint(i)] = "v"
	}
	if _, err := b.Register(t.Context(), in, nil); err == nil {
		t.Error("registered an instance with 65 entries of Meta")
	}
	for i := range 256 {
		register(t, b, instance("pricing", i))
	}
	if _, err := b.Register(t.Context(), instance("pricing", 256), nil); err == nil {
		t.Error("registered a 257th instance")
	}
	register(t, b, instance("pricing", 255)) // in place of what it replaces
	sees(t, b, "pricing", 256)
}

// TestReplacedRegistration registers one ID twice: the first registration is
// at its end.
func TestReplacedRegistration(t *testing.T) {
	b := start(t, gossip.Config{Label: label(), Bind: "127.0.0.1:0"})
	old := register(t, b, instance("pricing", 1))
	register(t, b, instance("pricing", 1))
	if err := old.Deregister(t.Context()); err != nil {
		t.Error(err)
	}
	if old.Err() == nil {
		t.Error("the replaced registration says that it is announced")
	}
	sees(t, b, "pricing", 1)
}

// TestDeafMember has a member that can send but not receive, behind a gate
// that is shut. The others must leave it out, must not take each other for
// dead through what it says, and must take it back.
func TestDeafMember(t *testing.T) {
	t.Parallel()
	l := label()
	a := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0"})
	b := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{a.Addr()}})
	g := newGate(t)
	deaf := start(t, gossip.Config{
		Label: l, Bind: g.to.String(), Advertise: g.at.String(), Seeds: []string{a.Addr()},
	})
	for n, node := range []*gossip.Backend{a, b, deaf} {
		register(t, node, instance(fmt.Sprint("s", n), n))
	}
	sees(t, a, "s2", 1)
	sees(t, b, "s2", 1)

	var mu sync.Mutex
	lost := 0
	for service, node := range map[string]*gossip.Backend{"s0": b, "s1": a} {
		sees(t, node, service, 1)
		go func() {
			for list := range node.Watch(t.Context(), service) {
				if len(list) == 0 {
					mu.Lock()
					lost++
					mu.Unlock()
				}
			}
		}()
	}
	g.shut.Store(true)
	t.Logf("the deaf member was out after %v", sees(t, a, "s2", 0))
	sees(t, b, "s2", 0)
	g.shut.Store(false)
	t.Logf("it was back %v after it could hear again", sees(t, a, "s2", 1))
	sees(t, b, "s2", 1)
	mu.Lock()
	defer mu.Unlock()
	if lost > 0 {
		t.Errorf("healthy members lost each other %d times", lost)
	}
}

// A gate passes on what arrives for one address, by TCP and UDP, unless it is
// shut.
type gate struct {
	at, to netip.AddrPort
	shut   atomic.Bool
}

func newGate(t *testing.T) *gate {
	t.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	for udp == nil { // until the port is free for both
		var err error
		if tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err != nil {
			_ = tcp.Close()
		}
	}
	g := &gate{at: netip.MustParseAddrPort(tcp.Addr().String()), to: netip.MustParseAddrPort(freeAddr(t))}
	var wg sync.WaitGroup
	wg.Go(func() { g.packets(udp) })
	wg.Go(func() { g.streams(tcp) })
	t.Cleanup(func() {
		_ = tcp.Close()
		_ = udp.Close()
		wg.Wait()
	})
	return g
}

func (g *gate) packets(udp net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := udp.ReadFrom(buf)
		if err != nil {
			return
		}
		if !g.shut.Load() {
			_, _ = udp.WriteTo(buf[:n], net.UDPAddrFromAddrPort(g.to))
		}
	}
}

func (g *gate) streams(tcp net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		in, err := tcp.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", g.to.String())
		if err != nil {
			_ = in.Close()
			continue
		}
		if g.shut.Load() {
			_, _ = in.Close(), out.Close()
			continue
		}
		wg.Go(func() { _, _ = io.Copy(out, in); _ = out.(*net.TCPConn).CloseWrite() })
		wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close(); _ = out.Close() })
	}
}

// TestOutdoesItsPredecessor has the others believe in a process that had a
// node's name before, with a clock that went wrong by a year.
func TestOutdoesItsPredecessor(t *testing.T) {
	leaktest.Check(t)
	l := label()
	a := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0"})
	b := start(t, gossip.Config{Label: l, Bind: "127.0.0.1:0", Seeds: []string{a.Addr()}, Name: "mike"})
	register(t, b, instance("pricing", 1))
	sees(t, a, "pricing", 1)
	a.Hear("mike", 365*24*time.Hour)
	sees(t, a, "pricing", 1)
	if r := register(t, b, instance("cart", 1)); r.Err() != nil {
		t.Error(r.Err())
	}
	sees(t, a, "cart", 1)
}
