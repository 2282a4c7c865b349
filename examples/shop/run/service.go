package run

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/launch"
)

const serviceUsage = `usage: shop service NAME [flags]

Runs one instance of one service until SIGTERM or Ctrl-C. The launcher starts
all of its children this way; by itself it takes its addresses and its discovery
URL from the environment as every service does (GABION_ADDR, GABION_DISCOVERY).

NAME is one of %s.

flags:
`

// Service is the command line of one instance: args are the words behind "shop
// service". It returns when the service has drained, and [flag.ErrHelp] after
// -h.
func Service(ctx context.Context, args []string, stderr io.Writer) error {
	names := slices.Sorted(maps.Keys(services()))
	var in instance
	flags := flag.NewFlagSet("shop service", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, serviceUsage, strings.Join(names, ", "))
		flags.PrintDefaults()
	}
	flags.IntVar(&in.replica, "replica", 1, "number of this instance, from 1")
	flags.StringVar(&in.data, "data", "", "`folder` of its store (default: a temporary one that goes at the end)")
	words, err := launch.ParseFlags(flags, args)
	if err != nil {
		return err
	}
	if len(words) != 1 || services()[words[0]] == nil {
		return launch.Usagef("service: want one of %s, got %q; see shop service -h", strings.Join(names, ", "), words)
	}
	if in.replica < 1 {
		return launch.Usagef("service: -replica %d: must be 1 or more", in.replica)
	}
	return runService(ctx, services()[words[0]], in)
}

func runService(ctx context.Context, run service, in instance) error {
	if in.data == "" {
		dir, err := os.MkdirTemp("", "gabion-shop-service-")
		if err != nil {
			return fmt.Errorf("service: a temporary folder for the store: %w; name another with -data", err)
		}
		defer os.RemoveAll(dir)
		in.data = dir
	}
	launcher, err := newLink(os.Getenv)
	if err != nil {
		return err
	}
	in.options = append(in.options, gabion.WithOnReady(launcher.ready))
	ctx, stop := launcher.follow(ctx)
	defer stop()
	return run(ctx, in)
}
