// Program gabion is what the conformance suite of the Connect protocol tests: a
// client or a server, through gabion or, for comparison, through bare net/http.
//
//	gabion [-plain] client
//	gabion [-plain] server
//
// The suite's runner starts it and talks to it over stdin and stdout: messages
// of protobuf, each after its length in four bytes. Its test does that.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"connectrpc.com/conformance/internal"
)

func main() {
	plain := flag.Bool("plain", false, "use net/http without gabion")
	flag.Parse()
	if err := run(flag.Arg(0), *plain); err != nil {
		fmt.Fprintln(os.Stderr, "gabion:", err)
		os.Exit(1)
	}
}

func run(role string, plain bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	codec := internal.NewCodec(false)
	in, out := codec.NewDecoder(os.Stdin), codec.NewEncoder(os.Stdout)
	switch role {
	case "client":
		var dialer dialer = gabionDialer{}
		if plain {
			dialer = plainDialer{}
		}
		return answerAll(ctx, in, out, &clients{dialer: dialer})
	case "server":
		listen := serveGabion
		if plain {
			listen = servePlain
		}
		return serve(ctx, in, out, listen)
	default:
		return fmt.Errorf("%q is neither client nor server", role)
	}
}
