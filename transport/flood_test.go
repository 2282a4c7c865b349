package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/retry"
)

// flood is a connection that counts what it could write.
type flood struct {
	net.Conn
	n *atomic.Int64
}

func (f flood) Write(p []byte) (int, error) {
	n, err := f.Conn.Write(p)
	f.n.Add(int64(n))
	return n, err
}

// floods are answers that do not end, or not soon.
var floods = map[string]func(w io.Writer){
	"a long header": func(w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nX-Long: ")
		repeat(w, "xxxxxxxxxx", 8<<20)
		_, _ = io.WriteString(w, "\r\n\r\n")
	},
	"many headers": func(w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\n")
		repeat(w, "X-Long: xxxxxxxx\r\n", 8<<20)
		_, _ = io.WriteString(w, "\r\n")
	},
	"a long status line": func(w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 ")
		repeat(w, "OK", 8<<20)
	},
	"early hints": func(w io.Writer) { repeat(w, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 1<<40) },
	"chunks": func(w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		repeat(w, "a\r\nxxxxxxxxxx\r\n", 1<<40)
	},
	"a length": func(w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
		repeat(w, "xxxxxxxxxx", 1<<40)
	},
	"until it closes": func(w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.0 200 OK\r\n\r\n")
		repeat(w, "xxxxxxxxxx", 1<<40)
	},
	"a chunk's extension": func(w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
		repeat(w, "xxxxxxxxxx", 1<<40)
	},
	"trailers": func(w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n")
		repeat(w, "X: xxxxxxxxxx\r\n", 1<<40)
	},
}

// repeat writes s until there are n bytes or nobody reads on.
func repeat(w io.Writer, s string, n int64) {
	chunk := []byte(strings.Repeat(s, 64<<10/len(s)))
	for ; n > 0; n -= int64(len(chunk)) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// taken is more than what is read of a flood and what the system takes in for
// whoever does not read.
const taken = 48 << 20

// An answer without end is read up to the limit and no further, wherever in it
// the end is missing.
func TestFloods(t *testing.T) {
	for name, write := range floods {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			c := over(t, []transport.ClientOption{transport.WithPolicy(transport.Policy{
				Timeout: time.Minute, AttemptTimeout: time.Minute, ResponseBytes: 1 << 20, Retry: retry.Policy{Attempts: 1},
			})}, tcp(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					write(flood{c, &sent})
				}
			}))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			status, body, err := get(t.Context(), c, "http://raw/")
			runtime.ReadMemStats(&after)
			e, ok := errors.AsType[*transport.Error](err)
			inBody := errors.Is(err, transport.ErrBodyTooLarge)
			switch {
			case err == nil:
				t.Fatalf("got %d %.20q", status, body)
			case status == 0 && (!ok || !e.Sent):
				t.Errorf("got %v, want an Error", err)
			case len(body) > 1<<20:
				t.Errorf("read %d bytes of the body", len(body))
			case len(body) == 1<<20 && !inBody:
				t.Errorf("got %v, want ErrBodyTooLarge", err)
			}
			if n := sent.Load(); n > taken {
				t.Errorf("the server could send %d bytes", n)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > taken {
				t.Errorf("%d bytes of memory were taken for it", n)
			}
			idle(t, c)
		})
	}
}

// Over HTTP/2 the limits are the same.
func TestHTTP2Floods(t *testing.T) {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	var sent atomic.Int64
	all := hosts(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/header" {
			for i := range 8 << 10 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1<<10))
			}
			return
		}
		for chunk := make([]byte, 64<<10); ; {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}), &p, "a")
	c := over(t, []transport.ClientOption{transport.WithProtocols(&p), transport.WithPolicy(transport.Policy{
		Timeout: time.Minute, AttemptTimeout: time.Minute, ResponseBytes: 1 << 20, Retry: retry.Policy{Attempts: 1},
	})}, all["a"].Addr)
	_, body, err := get(t.Context(), c, "http://raw/")
	if !errors.Is(err, transport.ErrBodyTooLarge) || len(body) != 1<<20 {
		t.Errorf("read %d bytes and %v, want 1 MiB and ErrBodyTooLarge", len(body), err)
	}
	if n := sent.Load(); n > taken {
		t.Errorf("the server could send %d bytes", n)
	}
	if _, _, err := get(t.Context(), c, "http://raw/header"); err == nil {
		t.Error("a header of 8 MiB was accepted")
	} else if e, ok := errors.AsType[*transport.Error](err); !ok || !e.Sent {
		t.Errorf("got %v, want an Error", err)
	}
	idle(t, c)
}
