package run

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// welcome tells where everything runs and what to try.
func (s *shop) welcome(states []launch.State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe shop is open at http://%s (after %.1f s)\n\n", s.addr, time.Since(s.began).Seconds())
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "  instance\taddress\tadmin\tpid")
	for _, st := range states {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%d\n", st.Name(), st.Addr, st.Admin, st.PID)
	}
	t.Flush()
	fmt.Fprintf(&b, "\n  stores     %s%s\n  discovery  %s\n", s.data, s.fate(), s.discovery)
	fmt.Fprintf(&b, `
Try
  curl http://%[1]s/api/products
  curl -X POST http://%[1]s/api/carts
  curl http://%[2]s/debug/gabion                     what the storefront sees of the others

and beside it, in another terminal:
  go run ./examples/shop load -rate 200 -for 30s       visitors who browse and buy
  go run ./examples/shop chaos                         break things while you watch
  go run ./examples/shop restart                       restart everything, one by one
  go run ./examples/shop status                        how everything is

Ctrl-C closes the shop.

`, s.addr, states[0].Admin)
	return b.String()
}

// fate says what becomes of the stores.
func (s *shop) fate() string {
	if s.set.data != "" {
		return ""
	}
	return "  (goes at the end; -data DIR keeps it)"
}
