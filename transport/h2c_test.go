package transport_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
)

// HTTP/2 without TLS is spoken by servers that were told to, and only with
// prior knowledge: an upgrade, which a proxy may pass on without knowing what
// comes after, never is.
func TestUnencryptedHTTP2OnlyWhenAskedFor(t *testing.T) {
	const (
		preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" // and empty SETTINGS
		upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
	)
	var both http.Protocols
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	for name, tc := range map[string]struct {
		opts []transport.ServerOption
		send string
		want func(answer string) bool
	}{
		"prior knowledge, not asked for": {nil, preface, refusedOverHTTP1},
		"prior knowledge":                {[]transport.ServerOption{transport.WithServerProtocols(&both)}, preface, settings},
		"upgrade, not asked for":         {nil, upgrade, servedOverHTTP1},
		"upgrade":                        {[]transport.ServerOption{transport.WithServerProtocols(&both)}, upgrade, servedOverHTTP1},
	} {
		t.Run(name, func(t *testing.T) {
			leaktest.Check(t)
			srv, err := transport.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }), tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- srv.Serve(l) }()
			defer func() {
				_ = srv.Close()
				if err := <-served; err != nil {
					t.Error(err)
				}
			}()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.WriteString(c, tc.send); err != nil {
				t.Fatal(err)
			}
			if answer := firstOf(c); !tc.want(answer) {
				t.Errorf("got %q", answer)
			}
		})
	}
}

// firstOf returns the header of a response, or what else comes first.
func firstOf(r io.Reader) string {
	b := bufio.NewReader(r)
	start, err := b.Peek(9)
	if err != nil || string(start[:5]) != "HTTP/" {
		return string(start)
	}
	resp, err := http.ReadResponse(b, nil)
	if err != nil {
		return err.Error()
	}
	body, _ := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.Proto, " ", resp.StatusCode, " ", string(body))
}

// settings reports whether it is the SETTINGS that a server begins with.
func settings(answer string) bool { return len(answer) == 9 && answer[3] == 4 }

func refusedOverHTTP1(answer string) bool {
	return strings.HasPrefix(answer, "HTTP/1.1 4") || strings.HasPrefix(answer, "HTTP/1.1 5")
}

func servedOverHTTP1(answer string) bool { return answer == "HTTP/1.1 200 HTTP/1.1" }
