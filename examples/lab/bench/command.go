package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Exit statuses of [Main].
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// options are what the command line says.
type options struct {
	seed   uint64
	policy string
	format string
	quick  bool
}

// Main is the command line: args name an experiment and its flags, or nothing,
// which lists all. Results and requested help go to stdout, progress and errors
// to stderr. The exit status is 0; 1 if the experiment failed; 2 if args cannot
// be understood; 130 if ctx ended first.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer, all []Experiment) int {
	var o options
	flags := newFlags(&o)
	words, err := parse(flags, args)
	help := errors.Is(err, flag.ErrHelp)
	if err != nil && !help {
		return misused(stderr, "%v; see lab -h", err)
	}
	if len(words) == 0 {
		overview(stdout, flags, all, help)
		return exitOK
	}
	i := slices.IndexFunc(all, func(e Experiment) bool { return e.Name == words[0] })
	if i < 0 {
		return misused(stderr, "there is no experiment %q, only %s", words[0], strings.Join(names(all), ", "))
	}
	e := &all[i]
	if help {
		explain(stdout, flags, e)
		return exitOK
	}
	if len(words) > 1 {
		return misused(stderr, "one experiment at a time, not also %q", words[1])
	}
	write, ok := map[string]func(io.Writer, *Experiment, uint64, []Row) error{
		"text": writeText, "json": writeJSON, "svg": writeSVG,
	}[o.format]
	if !ok {
		return misused(stderr, "-format %q: must be text, json or svg", o.format)
	}
	policies, err := e.pick(o.policy)
	if err != nil {
		return misused(stderr, "%v", err)
	}
	rows, err := e.run(ctx, Run{Seed: o.seed, Policies: policies, Quick: o.quick}, stderr)
	if err == nil {
		err = write(stdout, e, o.seed, rows)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "lab: interrupted")
		return exitInterrupted
	case err != nil:
		fmt.Fprintf(stderr, "lab: %s: %v\n", e.Name, err)
		return exitFailed
	}
	return exitOK
}

// run makes the rows and shows the progress.
func (e *Experiment) run(ctx context.Context, r Run, stderr io.Writer) ([]Row, error) {
	if !r.Quick {
		fmt.Fprintf(stderr, "%s takes about %s\n", e.Name, takes(e.Takes))
	}
	p := showProgress(stderr, e.Name)
	defer p.stop()
	r.Progress = p.tell
	return e.Run(ctx, r)
}

func misused(stderr io.Writer, format string, args ...any) int {
	fmt.Fprintf(stderr, "lab: "+format+"\n", args...)
	return exitUsage
}

func names(all []Experiment) []string {
	list := make([]string, len(all))
	for i, e := range all {
		list[i] = e.Name
	}
	return list
}

func newFlags(o *options) *flag.FlagSet {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.Uint64Var(&o.seed, "seed", 1, "`number` that everything random follows from")
	flags.StringVar(&o.policy, "policy", "", "run only these policies, `names` separated by commas")
	flags.StringVar(&o.format, "format", "text", "of the result: `text`, json or svg")
	flags.BoolVar(&o.quick, "quick", false, "a short form of the experiment: a look, not a measurement")
	return flags
}

// parse parses args and returns the words among them that are no flags, which
// may stand before, between and behind the flags.
func parse(flags *flag.FlagSet, args []string) (words []string, err error) {
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) { // what follows -h still says about what
				rest := args[slices.IndexFunc(args, isHelp)+1:]
				words = append(words, rest[:min(1, len(rest))]...)
			}
			return words, err
		}
		if flags.NArg() == 0 {
			return words, nil
		}
		words = append(words, flags.Arg(0))
		args = flags.Args()[1:]
	}
	return words, nil
}

func isHelp(arg string) bool {
	return slices.Contains([]string{"-h", "--h", "-help", "--help"}, arg)
}

// writeJSON writes an array with a line for each row.
func writeJSON(w io.Writer, _ *Experiment, _ uint64, rows []Row) error {
	var b strings.Builder
	b.WriteString("[")
	for i, r := range rows {
		if i > 0 {
			b.WriteString(",")
		}
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		b.WriteString("\n  " + string(line))
	}
	b.WriteString("\n]\n")
	_, err := io.WriteString(w, b.String())
	return err
}
