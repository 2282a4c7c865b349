package gossip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// memberlist v0.6.0 trusts whoever reaches its port: a handful of bytes make
// it index beyond a slice or allocate without bound, in goroutines where
// nothing can recover. Where a key authenticates the traffic that is the
// business of those who have the key. Where there is none, this guard stands
// before memberlist and lets in only what another gabion node sends, which
// leaves out compressed messages and user messages over TCP.

// The kinds of messages on memberlist's wire that the guard tells apart.
const (
	wirePing     = 0
	wireAck      = 2
	wirePushPull = 6
	wireCompound = 7
	wireCompress = 9
	wireEncrypt  = 10
	wireCRC      = 12
	wireError    = 13
	wireLabel    = 244
)

const (
	maxMembers = 16 << 10 // in one exchange
	maxStream  = 32 << 20 // bytes of the members in one exchange
	versions   = 6        // numbers that come with each member
)

var errRefused = errors.New("message refused")

// packetAllowed reports whether memberlist may see a packet.
func packetAllowed(b []byte) bool {
	if len(b) > 1 && b[0] == wireLabel {
		b = b[min(len(b), 2+int(b[1])):]
	}
	if len(b) > 5 && b[0] == wireCRC {
		b = b[5:]
	}
	if len(b) > 1 && b[0] == wireCompound {
		return compoundAllowed(b[1:])
	}
	return messageAllowed(b)
}

// compoundAllowed looks into a compound message: a count, as many lengths of
// two bytes, and the messages.
func compoundAllowed(b []byte) bool {
	n := int(b[0])
	if len(b) < 1+2*n {
		return false
	}
	lengths, rest := b[1:1+2*n], b[1+2*n:]
	for i := range n {
		l := int(binary.BigEndian.Uint16(lengths[2*i:]))
		if l > len(rest) || !messageAllowed(rest[:l]) {
			return false
		}
		rest = rest[l:]
	}
	return true
}

// messageAllowed refuses what holds other messages.
func messageAllowed(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch b[0] {
	case wireCompound, wireCompress, wireEncrypt, wireCRC, wirePushPull:
		return false
	}
	return true
}

// A guardedConn looks at what comes first on a stream before anybody reads it.
type guardedConn struct {
	net.Conn
	once sync.Once
	in   io.Reader
	err  error
}

// Read inspects the stream at the first call, under the deadline that is set
// by then.
func (c *guardedConn) Read(p []byte) (int, error) {
	c.once.Do(func() {
		var seen bytes.Buffer
		c.err = checkStream(io.TeeReader(io.LimitReader(c.Conn, maxStream), &seen))
		c.in = io.MultiReader(&seen, c.Conn)
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.in.Read(p)
}

// checkStream reads the first message of a stream as far as it must be
// trusted. A stream that ends before it is no error.
func checkStream(in io.Reader) error {
	kind, err := readByte(in)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil && kind == wireLabel {
		kind, err = skipLabel(in)
	}
	if err != nil {
		return err
	}
	switch kind {
	case wirePing, wireAck, wireError:
		return nil
	case wirePushPull:
		return checkPushPull(in)
	case wireEncrypt:
		return fmt.Errorf("%w: it is encrypted and there is no key", errRefused)
	}
	return fmt.Errorf("%w: kind %d", errRefused, kind)
}

func readByte(in io.Reader) (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(in, b[:])
	return b[0], err
}

// skipLabel reads a label and the byte after it.
func skipLabel(in io.Reader) (byte, error) {
	n, err := readByte(in)
	if err != nil {
		return 0, err
	}
	if _, err := io.CopyN(io.Discard, in, int64(n)); err != nil {
		return 0, err
	}
	return readByte(in)
}

// checkPushPull reads the members in an exchange of states. The names of
// fields are memberlist's.
func checkPushPull(in io.Reader) error {
	dec := codec.NewDecoder(in, &codec.MsgpackHandle{})
	var header struct{ Nodes, UserStateLen int }
	if err := dec.Decode(&header); err != nil {
		return err
	}
	if header.Nodes < 0 || header.Nodes > maxMembers {
		return fmt.Errorf("%w: %d members", errRefused, header.Nodes)
	}
	for range header.Nodes {
		var member struct{ Vsn []uint8 }
		if err := dec.Decode(&member); err != nil {
			return err
		}
		if len(member.Vsn) != versions {
			return fmt.Errorf("%w: a member with %d versions", errRefused, len(member.Vsn))
		}
	}
	return nil
}
