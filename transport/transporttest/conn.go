package transporttest

import (
	"bytes"
	"io"
	"net"
	"time"
)

// conn is one end of a connection.
type conn struct {
	id      connID
	process *Process // whose end it is
	in, out *stream
	dialled bool // the end that dialled
	local   address
	remote  address
	peer    *conn
	closed  bool // under the network's lock
}

// connID tells connections apart in the same way in every run: by their ends
// and how many there were between these before.
type connID struct {
	from, to string
	n        uint64
}

// address is a host and port of a Network.
type address string

// Network returns "mem".
func (a address) Network() string { return "mem" }

func (a address) String() string { return string(a) }

// http2Preface begins every HTTP/2 connection (RFC 9113, section 3.4).
var http2Preface = []byte("PRI * HTTP/2.0")

func (c *conn) Read(b []byte) (int, error) {
	if err := c.process.gone(); err != nil {
		return 0, c.error("read", err)
	}
	n, err := c.in.read(b)
	return n, c.error("read", err)
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.process.gone(); err != nil {
		return 0, c.error("write", err)
	}
	if c.dialled && bytes.HasPrefix(b, http2Preface) {
		// net/http writes frames under a lock that others wait for, which is
		// no wait that the clock of a bubble passes over.
		c.in.unbounded()
		c.out.unbounded()
	}
	n, err := c.out.write(b)
	return n, c.error("write", err)
}

// error wraps err as package net does. io.EOF stays itself.
func (c *conn) error(op string, err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // of this very value that is said
		return err
	}
	return &net.OpError{Op: op, Net: "mem", Source: c.local, Addr: c.remote, Err: err}
}

// Close ends the connection in order: the other side gets what was sent. If
// something was left unread, that is a reset, as with TCP; of a process that is
// frozen the other side hears nothing before it goes on.
func (c *conn) Close() error {
	if !c.process.over() { // else its death breaks the connection
		if c.in.abandon() && c.process.host.frozen() == nil {
			c.tell(0)
		}
		c.out.finish()
	}
	if !c.dialled {
		c.process.noteClose()
	}
	c.process.host.net.forget(c)
	return nil
}

// CloseWrite ends what this end sends, as that of net.TCPConn does; reading goes
// on.
func (c *conn) CloseWrite() error {
	if err := c.process.gone(); err != nil {
		return c.error("close", err)
	}
	c.out.finish()
	return nil
}

// abort breaks the connection at this end now and at the other a moment later;
// silently, the other end does not notice.
func (c *conn) abort(after time.Duration, silent bool) {
	now := time.Now()
	c.in.reset(ends{reader: now})
	c.out.reset(ends{writer: now})
	if silent {
		c.in.kill()
		c.out.kill()
	}
	c.in.abandon()
	c.out.cease()
	c.tell(after)
}

// tell breaks the connection at the other end by a reset. That is sent once: if
// it gets lost, the other end hears of it when it sends something.
func (c *conn) tell(after time.Duration) {
	delay, lost := c.out.lost()
	if lost {
		return
	}
	there := time.Now().Add(delay + after)
	c.in.reset(ends{writer: there})
	c.out.reset(ends{reader: there})
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	c.out.setSendDeadline(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setSendDeadline(t)
	return nil
}
