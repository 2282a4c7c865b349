package sockets

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// splices are pairs of connections of which each carries on what the other
// brings.
type splices struct {
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newSplices() *splices {
	s := &splices{conns: map[net.Conn]bool{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// dialTimeout bounds how long a server may take to accept a connection.
const dialTimeout = time.Minute

// accept joins each connection that comes to l to one that dial makes. One that
// cannot be made breaks the other. It returns when l is closed.
func (s *splices) accept(l net.Listener, dial func(context.Context) (net.Conn, error)) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		if !s.add(in) {
			return
		}
		s.wg.Go(func() {
			ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
			defer cancel()
			out, err := dial(ctx)
			if err != nil {
				s.drop(in, err)
				return
			}
			if s.add(out) {
				s.join(in, out)
			}
		})
	}
}

// add takes c under its wings. It reports false, and has closed c, if it is
// too late for that.
func (s *splices) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		_ = c.Close() // nothing was written
		return false
	}
	s.conns[c] = true
	return true
}

// drop closes c, with a reset if err says that something broke.
func (s *splices) drop(c net.Conn, err error) {
	if tcp, ok := c.(*net.TCPConn); ok && err != nil && !errors.Is(err, net.ErrClosed) {
		_ = tcp.SetLinger(0) // fails on a closed connection, which is none the worse for it
	}
	_ = c.Close() // what could not be sent is the network's fault
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// join carries data both ways until both have ended or one breaks, and then
// closes both connections.
func (s *splices) join(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.carry(a, b)
	}()
	s.carry(b, a)
	<-done
	s.drop(a, nil)
	s.drop(b, nil)
}

// carry carries data from one connection to the other, and then its end.
func (s *splices) carry(from, to net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		err = half.CloseWrite()
	}
	if err != nil {
		s.drop(to, err)
		s.drop(from, err)
	}
}

// close breaks all connections and waits for their goroutines.
func (s *splices) close() {
	s.mu.Lock()
	s.cancel()
	var all []net.Conn
	for c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		s.drop(c, context.Canceled)
	}
	s.wg.Wait()
}
