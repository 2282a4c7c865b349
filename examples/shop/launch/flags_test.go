package launch

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"
)

func TestParseFlags(t *testing.T) {
	for name, tc := range map[string]struct {
		args  []string
		words []string
		every string
	}{
		"none":         {nil, nil, "5s"},
		"words first":  {[]string{"kill", "-every", "2s"}, []string{"kill"}, "2s"},
		"words last":   {[]string{"-every=2s", "kill", "cart"}, []string{"kill", "cart"}, "2s"},
		"words around": {[]string{"kill", "-every", "2s", "cart"}, []string{"kill", "cart"}, "2s"},
	} {
		t.Run(name, func(t *testing.T) {
			flags := flag.NewFlagSet("shop chaos", flag.ContinueOnError)
			every := flags.String("every", "5s", "")
			words, err := ParseFlags(flags, tc.args)
			if err != nil || !slices.Equal(words, tc.words) || *every != tc.every {
				t.Errorf("got %q, every %q, %v", words, *every, err)
			}
		})
	}
}

func TestParseFlagsErrors(t *testing.T) {
	var out bytes.Buffer
	flags := flag.NewFlagSet("shop chaos", flag.ContinueOnError)
	flags.SetOutput(&out)
	flags.Usage = func() { fmt.Fprint(flags.Output(), "usage: ...") }
	_, err := ParseFlags(flags, []string{"-evry"})
	if _, wrong := errors.AsType[*UsageError](err); !wrong || err.Error() != "shop chaos: flag provided but not defined: -evry; see shop chaos -h" || out.Len() > 0 {
		t.Errorf("unknown flag: %v, printed %q", err, &out)
	}
	if _, err := ParseFlags(flags, []string{"x", "-h"}); !errors.Is(err, flag.ErrHelp) || out.String() != "usage: ..." {
		t.Errorf("-h: %v, printed %q", err, &out)
	}
}
