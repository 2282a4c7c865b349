package run

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// Status is the command line that shows how the instances are: args are the
// words behind "shop status". It returns [flag.ErrHelp] after -h, and an error
// if an instance is not ready.
func Status(ctx context.Context, registry launch.Registry, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("shop status", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "usage: shop status [flags]\n\nShows what runs where and asks each instance whether it is ready.\nExit status 1 if one is not.\n\nflags:\n")
		flags.PrintDefaults()
	}
	addr := flags.String("addr", "", "storefront's `host:port`, if several shops run")
	words, err := launch.ParseFlags(flags, args)
	switch {
	case err != nil:
		return err
	case len(words) > 0:
		return launch.Usagef("status: what is %q? See shop status -h", words[0])
	}
	shop, err := registry.Find(*addr)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return printStatus(stdout, shop, readiness(ctx, shop.Children))
}

// readiness asks all children at once.
func readiness(ctx context.Context, children []launch.State) []string {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answers := make([]string, len(children))
	var wg sync.WaitGroup
	for i, st := range children {
		wg.Go(func() { answers[i] = launch.Readiness(ctx, client, st) })
	}
	wg.Wait()
	return answers
}

func printStatus(w io.Writer, shop launch.RunFile, answers []string) error {
	fmt.Fprintf(w, "http://%s, open for %v, launcher pid %d\n\n", shop.Storefront, since(shop.Started), shop.Launcher)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "instance\tstate\taddress\tadmin\tpid\tup for\trestarts")
	bad := 0
	for i, st := range shop.Children {
		if answers[i] != launch.Ready {
			bad++
		}
		if st.PID == 0 {
			fmt.Fprintf(t, "%s\t%s\t-\t-\t-\t-\t%d\n", st.Name(), answers[i], st.Restarts)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%v\t%d\n", st.Name(), answers[i], st.Addr, st.Admin, st.PID, since(st.Since), st.Restarts)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	if bad > 0 {
		return fmt.Errorf("status: %d of %d instances are not ready", bad, len(shop.Children))
	}
	return nil
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Second) }
