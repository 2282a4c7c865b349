package launch

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// UsageError says that a command line cannot be understood.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

// Usagef returns a [UsageError].
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Sprintf(format, args...)}
}

// ParseFlags parses args and returns the words among them that are no flags,
// which may stand before, between and behind the flags. After -h it prints the
// usage and returns [flag.ErrHelp]; any other error is a [UsageError] and has
// not been printed.
func ParseFlags(flags *flag.FlagSet, args []string) (words []string, err error) {
	usage, out := flags.Usage, flags.Output()
	flags.Usage = func() {}
	flags.SetOutput(io.Discard)
	defer func() { flags.Usage = usage }()
	defer flags.SetOutput(out)
	for {
		err := flags.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			flags.SetOutput(out)
			usage()
			return nil, err
		case err != nil:
			return nil, Usagef("%s: %v; see %s -h", flags.Name(), err, flags.Name())
		case flags.NArg() == 0:
			return words, nil
		}
		words = append(words, flags.Arg(0))
		args = flags.Args()[1:]
	}
}
