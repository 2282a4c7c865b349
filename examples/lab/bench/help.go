package bench

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// textWidth is how wide text may be.
const textWidth = 100

const usage = `usage: lab NAME [-seed n] [-policy name,...] [-format text|json|svg] [-quick]
       lab NAME -h

Experiments that compare how clients and servers behave in trouble, most of
them in virtual time. The same seed gives the same figures.
`

// overview lists the experiments, with the flags if help was asked for.
func overview(w io.Writer, flags *flag.FlagSet, all []Experiment, help bool) {
	fmt.Fprint(w, usage, "\nexperiments, and about how long they take:\n")
	for _, e := range all {
		fmt.Fprintf(w, "  %-20s %-64s %8s\n", e.Name, e.Title, takes(e.Takes))
	}
	if help {
		writeFlags(w, flags)
		return
	}
	fmt.Fprintln(w, "\nFor example: go run ./examples/lab", all[0].Name)
}

// explain says all about one experiment.
func explain(w io.Writer, flags *flag.FlagSet, e *Experiment) {
	fmt.Fprintf(w, "%s: %s\n\n", e.Name, e.Title)
	writeParagraphs(w, e.About)
	fmt.Fprintf(w, "\nIt takes about %s. Policies:\n", takes(e.Takes))
	fmt.Fprint(w, wrap(strings.Join(e.Policies, ", "), "  "))
	writeFlags(w, flags)
}

// writeFlags describes the flags, two lines each.
func writeFlags(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintln(w, "\nflags:")
	flags.SetOutput(w)
	flags.PrintDefaults()
	flags.SetOutput(io.Discard)
}

func takes(d time.Duration) string {
	switch {
	case d < time.Second:
		return "a moment"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}

// writeParagraphs writes text with its lines broken anew.
func writeParagraphs(w io.Writer, text string) {
	for i, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprint(w, wrap(p, ""))
	}
}

// wrap breaks text into lines, each with indent in front.
func wrap(text, indent string) string {
	var b strings.Builder
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line) > len(indent) && len([]rune(line))+1+len([]rune(word)) > textWidth {
			b.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	if len(line) > len(indent) {
		b.WriteString(line + "\n")
	}
	return b.String()
}
