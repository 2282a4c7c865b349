package gossip

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// pushPull encodes an exchange of states in which each of the members comes
// with so many versions.
func pushPull(vsn ...int) []byte {
	buf := bytes.NewBuffer([]byte{wirePushPull})
	enc := codec.NewEncoder(buf, &codec.MsgpackHandle{})
	type member struct {
		Name        string
		Addr        []byte
		Port        uint16
		Meta        []byte
		Incarnation uint32
		State       int
		Vsn         []uint8
	}
	_ = enc.Encode(struct {
		Nodes, UserStateLen int
		Join                bool
	}{len(vsn), 4, true})
	for _, n := range vsn {
		_ = enc.Encode(member{Name: "n", Addr: []byte{127, 0, 0, 1}, Port: 1, Vsn: make([]uint8, n)})
	}
	buf.WriteString("user")
	return buf.Bytes()
}

func TestGuardedPackets(t *testing.T) {
	for name, c := range map[string]struct {
		packet []byte
		ok     bool
	}{
		"ping":                {[]byte{wirePing, 1}, true},
		"labelled":            {[]byte{wireLabel, 2, 'a', 'b', wirePing, 1}, true},
		"checksummed":         {[]byte{wireCRC, 0, 0, 0, 0, wirePing, 1}, true},
		"compound":            {[]byte{wireCompound, 2, 0, 1, 0, 2, wirePing, 3, 4}, true},
		"empty":               {nil, false},
		"only a label":        {[]byte{wireLabel, 200, 'a'}, false},
		"compressed":          {[]byte{wireCompress, 1}, false},
		"compressed inside":   {[]byte{wireCompound, 2, 0, 1, 0, 1, wirePing, wireCompress}, false},
		"compound inside":     {[]byte{wireCompound, 1, 0, 2, wireCompound, 0}, false},
		"behind all wrappers": {[]byte{wireLabel, 0, wireCRC, 0, 0, 0, 0, wireCompound, 1, 0, 1, wireCompress}, false},
		"short lengths":       {[]byte{wireCompound, 200, 0, 1}, false},
		"length beyond":       {[]byte{wireCompound, 1, 0, 9, wirePing}, false},
	} {
		if got := packetAllowed(c.packet); got != c.ok {
			t.Errorf("%s: allowed %v, want %v", name, got, c.ok)
		}
	}
}

func TestGuardedStreams(t *testing.T) {
	label := []byte{wireLabel, 2, 'a', 'b'}
	for name, c := range map[string]struct {
		stream []byte
		ok     bool
	}{
		"nothing":              {nil, true},
		"ping":                 {[]byte{wirePing, 1}, true},
		"exchange":             {pushPull(6, 6), true},
		"labelled exchange":    {append(label, pushPull(6)...), true},
		"few versions":         {pushPull(6, 3), false},
		"no versions":          {pushPull(0), false},
		"cut off":              {pushPull(6, 6)[:40], false},
		"user message":         {[]byte{8, 0x81}, false},
		"compressed":           {[]byte{wireCompress, 0x80}, false},
		"half a label":         {label[:3], false},
		"many members":         {[]byte{wirePushPull, 0x81, 0xa5, 'N', 'o', 'd', 'e', 's', 0xce, 0x7f, 0xff, 0xff, 0xff}, false},
		"fewer than no member": {[]byte{wirePushPull, 0x81, 0xa5, 'N', 'o', 'd', 'e', 's', 0xff}, false},
	} {
		if err := checkStream(bytes.NewReader(c.stream)); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", name, err, c.ok)
		}
	}
}

// TestGuardedConnHidesNothing reads through the guard what was sent.
func TestGuardedConnHidesNothing(t *testing.T) {
	want := append([]byte{wireLabel, 1, 'x'}, pushPull(6, 6, 6)...)
	here, there := net.Pipe()
	go func() {
		_, _ = there.Write(want)
		_ = there.Close()
	}()
	got, err := io.ReadAll(&guardedConn{Conn: here})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v\nwant %x", got, err, want)
	}

	here, there = net.Pipe()
	go func() { _, _ = there.Write([]byte{wireCompress}) }()
	if _, err := io.ReadAll(&guardedConn{Conn: here}); !errors.Is(err, errRefused) {
		t.Errorf("compressed: %v", err)
	}
	_ = there.Close()
}
