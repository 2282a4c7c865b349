package transporttest

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strconv"
	"strings"

	"github.com/gabion-go/gabion/transport/transporttest/bubble"
)

// isDeadlock reports whether a bubble ended because its goroutines wait for each
// other, or for something outside, for ever.
func isDeadlock(e *bubble.Error) bool { return strings.HasPrefix(fmt.Sprint(e.Panic), "deadlock:") }

// labels tell what the goroutines of a bubble are for.
func labels(name string, seed uint64) pprof.LabelSet {
	return pprof.Labels("test", name, "seed", strconv.FormatUint(seed, 10))
}

// stuck lists the goroutines that are left of a bubble, by their stacks.
func stuck(name string, seed uint64) string {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return err.Error()
	}
	label := fmt.Sprintf(`# labels: {"seed":"%d", "test":%q}`, seed, name)
	var b strings.Builder
	for record := range strings.SplitSeq(all.String(), "\n\n") {
		head, stack, ok := strings.Cut(record, "\n"+label+"\n")
		if !ok {
			continue
		}
		count, _, _ := strings.Cut(head, " @")
		fmt.Fprintf(&b, "%s blocked at\n", count[strings.LastIndex(count, "\n")+1:])
		for line := range strings.Lines(strings.TrimSuffix(stack, "\n") + "\n") {
			if f := strings.Fields(line); len(f) >= 4 { // # address function file:line
				fmt.Fprintf(&b, "\t%s %s\n", f[2], f[3])
			}
		}
	}
	return b.String()
}
