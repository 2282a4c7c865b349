// Command lab runs experiments that compare policies in trouble, most of them
// in virtual time, and prints our figures beside published ones.
//
//	go run ./examples/lab                          list the experiments
//	go run ./examples/lab beyond-round-robin
//	go run ./examples/lab metastable -format svg > metastable.svg
//
// See lab -h for the rest.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/gabion-go/gabion/examples/lab/bench"
	"github.com/gabion-go/gabion/examples/lab/experiments"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal ends the program
	os.Exit(bench.Main(ctx, os.Args[1:], os.Stdout, os.Stderr, experiments.All()))
}
