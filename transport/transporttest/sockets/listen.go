package sockets

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/transporttest"
)

// loopback is where everything here listens.
const loopback = "127.0.0.1:0"

// Listen opens a fault-injecting TCP proxy: a real address, on the loopback,
// that leads from p's host through the links of the network to the address to,
// such as "pricing-1:80". Give it to a real client. It is open until p ends.
//
// A connection to it is accepted at once, before the link is asked: one that the
// network refuses is reset then, and one that gets lost hangs.
func Listen(p *transporttest.Process, to string) (addr string, err error) {
	l, err := net.Listen("tcp", loopback)
	if err != nil {
		return "", err
	}
	s := newSplices()
	var wg sync.WaitGroup
	wg.Go(func() {
		s.accept(l, func(ctx context.Context) (net.Conn, error) { return p.Dial(ctx, "tcp", to) })
	})
	p.OnStop(func() {
		_ = l.Close() // returns nil always
		s.close()
		wg.Wait()
	})
	return l.Addr().String(), nil
}

// Dialer returns a dialer whose connections are real sockets that lead from p's
// host through the links of the network. What the network refuses is refused.
// The connections are broken when p ends.
func Dialer(p *transporttest.Process) func(ctx context.Context, network, addr string) (net.Conn, error) {
	s := newSplices()
	p.OnStop(s.close)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		link, err := p.Dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if !s.add(link) {
			return nil, net.ErrClosed
		}
		near, far, err := pair(ctx)
		if err != nil {
			s.drop(link, err)
			return nil, err
		}
		if !s.add(far) {
			_ = near.Close() // nothing was written
			return nil, net.ErrClosed
		}
		s.wg.Go(func() { s.join(far, link) })
		return near, nil
	}
}

// pair returns the two ends of a connection over the loopback.
func pair(ctx context.Context) (near, far net.Conn, err error) {
	l, err := net.Listen("tcp", loopback)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	var d net.Dialer
	if near, err = d.DialContext(ctx, "tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	if far, err = l.Accept(); err != nil {
		_ = near.Close() // nothing was written
		return nil, nil, err
	}
	return near, far, nil
}

// Gabion carries calls by a client of gabion on real sockets. It is the Via of
// [Run]; another client takes its connections from [Dialer].
func Gabion(p *transporttest.Process) http.RoundTripper {
	return p.Client(transport.WithDialer(Dialer(p))).Transport
}
