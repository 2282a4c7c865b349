package load

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// ErrViolations: the shop broke a promise under load. The report says which.
var ErrViolations = errors.New("load: the shop broke its word; see violations in the report")

const usage = `usage: shop load [flags]

Visitors browse and buy at the shop that runs on this machine. Calls start at
the given rate and never wait for a slow answer; latencies count from when a
call should have started. Prints a line each second and a report at the end,
or when you press Ctrl-C. Verifies that no order is doubled and that what was
put into a cart stays there.

Exit status: 0; 1 if the shop broke a promise, or the load could not run;
2 for wrong flags. Failed calls alone do not change it: read the report.

flags:
`

// Command is the command line of the load generator: args are the words behind
// "shop load". The report goes to stdout, progress to stderr. It returns
// [flag.ErrHelp] after -h.
func Command(ctx context.Context, registry launch.Registry, args []string, stdout, stderr io.Writer) error {
	return command(ctx, registry, args, stdout, stderr, nil)
}

// command is Command with the connections that dial opens.
func command(ctx context.Context, registry launch.Registry, args []string, stdout, stderr io.Writer, dial dialer) error {
	cfg := Config{Progress: func(t Tick) { fmt.Fprintln(stderr, t) }, dial: dial}
	flags := flag.NewFlagSet("shop load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	flags.Float64Var(&cfg.Rate, "rate", 200, "calls per second")
	flags.DurationVar(&cfg.Duration, "for", 30*time.Second, "how long to start calls")
	flags.StringVar(&cfg.Target, "target", "", "base `URL` of a storefront on this machine (default: the shop that runs)")
	flags.Uint64Var(&cfg.Seed, "seed", 0, "makes the visitors repeatable; 0 takes another each time")
	flags.BoolVar(&cfg.Constant, "constant", false, "space calls evenly instead of at random (Poisson)")
	flags.IntVar(&cfg.MaxInFlight, "inflight", 2000, "most calls under way; what finds no place is counted, not started")
	flags.DurationVar(&cfg.Timeout, "timeout", 10*time.Second, "longest wait for an answer")
	flags.DurationVar(&cfg.Think, "think", 200*time.Millisecond, "how long visitors look at an answer, in the mean")
	format := flags.String("format", "text", "of the report: text or json")
	words, err := launch.ParseFlags(flags, args)
	if err != nil {
		return err
	}
	if len(words) > 0 {
		return launch.Usagef("load: what is %q? Flags begin with a hyphen; see shop load -h", words[0])
	}
	if *format != "text" && *format != "json" {
		return launch.Usagef("load: -format %q: must be text or json", *format)
	}
	if cfg.Seed == 0 {
		cfg.Seed = uint64(time.Now().UnixNano())
	}
	if err := findTarget(registry, &cfg.Target); err != nil {
		return err
	}
	if err := cfg.validate(); err != nil {
		return launch.Usagef("%v", err)
	}
	fmt.Fprintf(stderr, "load on %s: %g calls a second for %v; Ctrl-C ends early\n", cfg.Target, cfg.Rate, cfg.Duration)
	report, err := Run(ctx, cfg)
	if err != nil {
		return err
	}
	write := report.WriteText
	if *format == "json" {
		write = report.WriteJSON
	}
	return errors.Join(write(stdout), report.Err())
}

// Err returns [ErrViolations] if there are any.
func (r *Report) Err() error {
	if len(r.Violations) > 0 {
		return ErrViolations
	}
	return nil
}

// findTarget fills in the shop that runs, unless a target is given.
func findTarget(registry launch.Registry, target *string) error {
	if *target != "" {
		return nil
	}
	shop, err := registry.Find("")
	if errors.Is(err, launch.ErrManyShops) {
		return fmt.Errorf("load: %w (here: -target http://ADDRESS)", err)
	}
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	*target = "http://" + shop.Storefront
	return nil
}
