package chaos

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// Command is the command line of chaos: args are the words behind "shop chaos".
// It tells on stdout what it does and on stderr what is wrong with args. It
// returns [flag.ErrHelp] after -h.
func Command(ctx context.Context, registry launch.Registry, args []string, stdout, stderr io.Writer) error {
	m := &monkey{
		registry: registry, out: stdout, explained: map[string]bool{},
		client: &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	flags := flag.NewFlagSet("shop chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage()); flags.PrintDefaults() }
	flags.StringVar(&m.addr, "addr", "", "storefront's `host:port`, if several shops run")
	flags.DurationVar(&m.every, "every", 5*time.Second, "pause after each fault, once it is mended")
	flags.DurationVar(&m.total, "for", time.Minute, "when to stop")
	flags.DurationVar(&m.lasts, "lasts", 0, "how long a hang, slow, fail or outage lasts (default: see above)")
	seed := flags.Uint64("seed", 0, "makes the choices repeatable; 0 takes others each time")
	words, err := launch.ParseFlags(flags, args)
	if err != nil {
		return err
	}
	if m.every <= 0 || m.total <= 0 || m.lasts < 0 {
		return launch.Usagef("chaos: -every %v, -for %v: must be above 0, and -lasts not below", m.every, m.total)
	}
	shop, err := registry.Find(m.addr)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	if err := m.understand(words, shop.Children); err != nil {
		return err
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	m.addr, m.rand = shop.Storefront, rand.New(rand.NewPCG(*seed, 0))
	m.say("chaos in the shop at %s for %v, seed %d; Ctrl-C ends it and mends all", m.addr, m.total, *seed)
	return m.run(ctx)
}

// understand takes the action and the target from the command line.
func (m *monkey) understand(words []string, children []launch.State) error {
	if len(words) > 0 {
		if i := slices.IndexFunc(actions, func(a action) bool { return a.name == words[0] }); i >= 0 {
			m.action = &actions[i]
			words = words[1:]
		}
	}
	if len(words) > 0 {
		if !slices.ContainsFunc(children, func(st launch.State) bool { return st.Service == words[0] || st.Name() == words[0] }) {
			return launch.Usagef("chaos: %q is neither a fault (%s) nor a service or instance of this shop (%s)",
				words[0], strings.Join(names(), ", "), strings.Join(services(children), ", "))
		}
		m.target = words[0]
		words = words[1:]
	}
	if len(words) > 0 {
		return launch.Usagef("chaos: what is %q? Give a fault and a service, such as: shop chaos kill pricing", words[0])
	}
	return nil
}

func names() (list []string) {
	for _, a := range actions {
		list = append(list, a.name)
	}
	return list
}

// services returns the names of the services, each once, in their order.
func services(children []launch.State) (list []string) {
	for _, st := range children {
		if !slices.Contains(list, st.Service) {
			list = append(list, st.Service)
		}
	}
	return list
}

func usage() string {
	var b strings.Builder
	b.WriteString(`usage: shop chaos [flags] [fault] [service or instance]

Breaks the shop that runs on this machine, one fault after the other, while you
watch: in the browser, in its log, or with "shop load" beside it. Without a
fault it takes any; without a service any but the storefront. All is mended at
the end, also after Ctrl-C.

  shop chaos                         anything, with 5 s between two faults, for a minute
  shop chaos kill pricing            kill one pricing instance after the other
  shop chaos -lasts 4s hang cart-1   always the same instance
  shop chaos outage catalog          the whole catalog down for 10 s

faults:
`)
	for _, a := range actions {
		fmt.Fprintf(&b, "  %-7s %s", a.name, a.help)
		if a.lasts > 0 {
			fmt.Fprintf(&b, " (%v)", a.lasts)
		}
		b.WriteString("\n")
	}
	b.WriteString("\nflags:\n")
	return b.String()
}
