package transporttest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest"
)

// What every net.Conn owes, in virtual time.

func TestConnCarriesBothWaysAtOnce(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		const size = 1 << 20
		data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		var wg sync.WaitGroup
		for _, c := range []net.Conn{client, server} {
			wg.Go(func() {
				for part := data; len(part) > 0; {
					n, err := c.Write(part[:min(len(part), 10_007)])
					if err != nil {
						t.Error(err)
						return
					}
					part = part[n:]
				}
			})
			wg.Go(func() {
				got := make([]byte, size)
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
					t.Errorf("data was lost or mixed up: %v", err)
				}
			})
		}
		wg.Wait()
	})
}

// Writes and reads of several goroutines do not tear each other's data.
func TestConnIsSafeForConcurrentUse(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		const writers, each = 8, 200
		var wg, readers sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				for range each {
					client.Write(bytes.Repeat([]byte{byte(i)}, 16))
				}
			})
		}
		var mu sync.Mutex
		count := map[byte]int{}
		for range 4 {
			readers.Go(func() {
				b := make([]byte, 16)
				for {
					n, err := server.Read(b)
					mu.Lock()
					for _, x := range b[:n] {
						count[x]++
					}
					mu.Unlock()
					if err != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		client.Close()
		readers.Wait()
		for i := range writers {
			if got := count[byte(i)]; got != each*16 {
				t.Errorf("writer %d: %d bytes arrived, want %d", i, got, each*16)
			}
		}
	})
}

func TestConnDeadlines(t *testing.T) {
	operations := map[string]struct {
		op  func(net.Conn) error
		set func(net.Conn, time.Time) error
	}{
		"read": {
			func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err },
			net.Conn.SetReadDeadline,
		},
		"read, both": {
			func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err },
			net.Conn.SetDeadline,
		},
		"write": { // more than the buffers hold
			func(c net.Conn) error { _, err := c.Write(make([]byte, 1<<20)); return err },
			net.Conn.SetWriteDeadline,
		},
		"write, both": {
			func(c net.Conn) error { _, err := c.Write(make([]byte, 1<<20)); return err },
			net.Conn.SetDeadline,
		},
	}
	for name, o := range operations {
		t.Run(name, func(t *testing.T) {
			transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
				c, _ := pipe(t, n)
				expect := func(what string, after time.Duration) {
					t.Helper()
					start := time.Now()
					err := o.op(c)
					var ne net.Error
					if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
						t.Errorf("%s: got %v, want a timeout", what, err)
					}
					if got := time.Since(start); got != after {
						t.Errorf("%s: after %v, want %v", what, got, after)
					}
				}
				o.set(c, time.Now().Add(time.Second))
				expect("in a second", time.Second)
				expect("again", 0)
				o.set(c, time.Now().Add(-time.Second))
				expect("in the past", 0)
				o.set(c, time.Now().Add(time.Minute))
				expect("extended", time.Minute)

				o.set(c, time.Time{})
				go func() {
					time.Sleep(time.Hour)
					o.set(c, time.Now().Add(-1))
				}()
				expect("one who waits is woken", time.Hour)

				o.set(c, time.Now().Add(time.Minute))
				go func() {
					time.Sleep(time.Second)
					o.set(c, time.Now().Add(time.Hour))
				}()
				expect("moved while one waits", time.Second+time.Hour)
			})
		})
	}
}

// A deadline does not lose what was there, and none holds up an arrival.
func TestConnDeadlineKeepsData(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		server.SetReadDeadline(time.Now().Add(hop / 2))
		client.Write([]byte("x"))
		b := make([]byte, 10)
		if _, err := server.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		server.SetReadDeadline(time.Time{})
		if n, err := server.Read(b); n != 1 || err != nil {
			t.Errorf("got %d, %v, want the byte", n, err)
		}
	}, exact)
}

func TestConnClose(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		blocked := make(chan error, 2)
		go func() { _, err := client.Read(make([]byte, 1)); blocked <- err }()
		go func() { _, err := client.Write(make([]byte, 1<<20)); blocked <- err }()
		time.Sleep(time.Second)
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-blocked; !errors.Is(err, net.ErrClosed) {
				t.Errorf("one who waited: got %v, want net.ErrClosed", err)
			}
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: got %v, want net.ErrClosed", err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: got %v, want net.ErrClosed", err)
		}
		if err := client.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second close: %v", err)
		}
		// The other side gets what was sent, and then the end.
		if got, err := io.ReadAll(server); err != nil || len(got) == 0 {
			t.Errorf("the other side: got %d bytes, %v", len(got), err)
		}
		// It learns that nobody reads by the answer to what it sends.
		server.Write([]byte("x"))
		time.Sleep(time.Second)
		if _, err := server.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the other side's write: got %v, want EPIPE", err)
		}
	})
}

// Closing with data unread is a reset, as TCP has it.
func TestConnCloseWithDataUnread(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		client.Write([]byte("unread"))
		time.Sleep(time.Second)
		server.Close()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want ECONNRESET", err)
		}
	})
}

// One direction can end before the other.
func TestConnHalfClose(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		client.Write([]byte("question"))
		half, ok := client.(interface{ CloseWrite() error })
		if !ok {
			t.Fatal("the connection has no CloseWrite")
		}
		if err := half.CloseWrite(); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(server); err != nil || string(got) != "question" {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := client.Write([]byte("x")); err == nil {
			t.Error("write after CloseWrite: no error")
		}
		time.Sleep(time.Minute)
		server.Write([]byte("answer"))
		server.Close()
		if got, err := io.ReadAll(client); err != nil || string(got) != "answer" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// A writer is ahead of a reader by a bounded amount.
func TestConnBackPressure(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		const size = 4 << 20
		done := make(chan time.Duration)
		start := time.Now()
		go func() {
			client.Write(make([]byte, size))
			done <- time.Since(start)
		}()
		for read := 0; read < size; { // 64 KB a second
			time.Sleep(time.Second)
			n, err := io.ReadFull(server, make([]byte, 64<<10))
			if read += n; err != nil {
				t.Fatal(err)
			}
		}
		if got := <-done; got < 55*time.Second || got > 64*time.Second {
			t.Errorf("writing took %v, want it to keep pace with the reader, 64s", got)
		}
	})
}

func TestConnNames(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		client, server := pipe(t, n)
		if client.LocalAddr().String() != server.RemoteAddr().String() || client.RemoteAddr().String() != server.LocalAddr().String() {
			t.Errorf("the ends disagree: %v-%v, %v-%v", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
		}
		if n, err := client.Write(nil); n != 0 || err != nil {
			t.Errorf("an empty write: %d, %v", n, err)
		}
		if n, err := client.Read(nil); n != 0 || err != nil {
			t.Errorf("an empty read: %d, %v", n, err)
		}
	})
}

func TestDial(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		n.Serve("server", 1, hello)
		p := n.Host("client").Process()
		n.Host("idle")
		n.Fault(transporttest.Fault{Kind: transporttest.BlackHole, To: "idle"})
		time.Sleep(time.Millisecond)
		var dns *net.DNSError
		for addr, ok := range map[string]func(error) bool{
			"server-1:80": func(err error) bool { return err == nil },
			"server-1:81": func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
			"server:80":   func(err error) bool { return errors.As(err, &dns) && dns.IsNotFound },
			"server-1":    func(err error) bool { return err != nil },
			"idle:80":     func(err error) bool { return errors.Is(err, context.DeadlineExceeded) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			c, err := p.Dial(ctx, "tcp", addr)
			cancel()
			var op *net.OpError
			if !ok(err) || err != nil && !errors.As(err, &op) {
				t.Errorf("%s: got %v", addr, err)
			}
			if err == nil {
				c.Close()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Dial(ctx, "tcp", "server-1:80"); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: got %v, want context.Canceled", err)
		}
	})
}

func TestListen(t *testing.T) {
	transporttest.Test(t, func(t *testing.T, n *transporttest.Network) {
		server, client := n.Host("server").Process(), n.Host("client").Process()
		l, err := server.Listen("80")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Listen("80"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("the same port: got %v, want EADDRINUSE", err)
		}
		free, err := server.Listen("0")
		if err != nil || free.Addr().String() == l.Addr().String() {
			t.Errorf("a free port: got %v, %v", free.Addr(), err)
		}
		waiting := connect(t, client, "server:80")
		time.AfterFunc(time.Minute, func() { l.Close() })
		if c, err := l.Accept(); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: got %v, want net.ErrClosed", err)
		}
		if _, err := waiting.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is still open")
		}
		if _, err := client.Dial(t.Context(), "tcp", "server:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: got %v, want ECONNREFUSED", err)
		}
		if again, err := server.Listen("80"); err != nil {
			t.Errorf("the port again: %v", err)
		} else {
			again.Close()
		}
		l.Close()
		// A connection that nobody has accepted is reset with its listener.
		unaccepted := connect(t, client, free.Addr().String())
		free.Close()
		if _, err := unaccepted.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("not accepted: got %v, want ECONNRESET", err)
		}
	})
}
