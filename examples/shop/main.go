// Command shop is a cart shop of five services that find each other, call each
// other through balancers and circuit breakers, and survive their own failures.
//
//	go run ./examples/shop                        open the shop
//	go run ./examples/shop load -rate 200 -for 30s
//	go run ./examples/shop chaos
//
// See shop -h for the rest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/gabion-go/gabion/examples/shop/chaos"
	"github.com/gabion-go/gabion/examples/shop/launch"
	"github.com/gabion-go/gabion/examples/shop/load"
	"github.com/gabion-go/gabion/examples/shop/run"
)

func main() {
	os.Exit(exitStatus(command(os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
}

// command runs what args ask for.
func command(args []string, stdout, stderr io.Writer) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if name == "service" { // it minds its signals, and needs no registry
		return run.Service(context.Background(), args[1:], stderr)
	}
	registry, err := launch.OpenRegistry()
	if err != nil {
		return err
	}
	sub, ok := map[string]func(context.Context, launch.Registry, []string, io.Writer, io.Writer) error{
		"load":    load.Command,
		"chaos":   chaos.Command,
		"restart": chaos.RestartCommand,
		"status":  run.Status,
	}[name]
	if !ok {
		return run.Shop(registry, args, stdout, stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program
	return sub(ctx, registry, args[1:], stdout, stderr)
}

// exitStatus tells err on stderr: 0 for none and for help, 2 for a command line
// that cannot be understood, else 1.
func exitStatus(err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(stderr, err)
	if _, wrong := errors.AsType[*launch.UsageError](err); wrong {
		return 2
	}
	return 1
}
