package run

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

const usage = `usage: shop [flags]                   open the shop; Ctrl-C closes it
       shop status                    what runs where, and how it is
       shop load [flags]              visitors who browse and buy, and a report
       shop chaos [flags] [fault]     kill, hang, slow or fail instances
       shop restart [service]         restart all instances one after another
       shop service NAME [flags]      one instance of one service, by itself

A shopping-cart application of five services, each instance a process of its own
on the loopback interface. Prints where everything runs, shows the services'
logs, restarts what dies or hangs, and drains all of it in order on Ctrl-C or
SIGTERM. A second signal kills.

flags:
`

// settings are the launcher's flags.
type settings struct {
	addr, data, discovery string
	plan                  plan
	verbose, quiet, color bool
}

func parseSettings(args []string, stderr io.Writer) (settings, error) {
	s := settings{plan: parts(), color: isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == ""}
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	flags.StringVar(&s.addr, "addr", "127.0.0.1:8080", "storefront's `host:port` on loopback; port 0 takes a free one")
	flags.StringVar(&s.data, "data", "", "`folder` that keeps the stores (default: a temporary one that goes at the end)")
	flags.StringVar(&s.discovery, "discovery", os.Getenv("GABION_DISCOVERY"),
		"how the services find each other: a discovery `URL` such as consul://127.0.0.1:8500 (default: GABION_DISCOVERY, or gossip among them)")
	flags.Var(&s.plan, "replicas", "instances of services, as `pricing=5,cart=3`")
	flags.BoolVar(&s.verbose, "v", false, "show all log records, those of single requests too")
	flags.BoolVar(&s.quiet, "quiet", false, "show warnings and errors only")
	words, err := launch.ParseFlags(flags, args)
	switch {
	case err != nil:
		return s, err
	case len(words) > 0:
		return s, launch.Usagef("shop: no command %q; there are status, load, chaos, restart and service; see shop -h", words[0])
	case s.verbose && s.quiet:
		return s, launch.Usagef("shop: -v and -quiet exclude each other")
	}
	if err := launch.CheckAddr(s.addr); err != nil {
		return s, launch.Usagef("shop: -addr: %v", err)
	}
	return s, nil
}

// isTerminal reports whether f is a terminal, or at least no file or pipe.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
