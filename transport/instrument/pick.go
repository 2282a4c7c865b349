package instrument

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gabion-go/gabion/transport/balance"
)

// pick describes why an attempt goes where it goes.
func pick(x *balance.Explanation) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("gabion.pick.policy", x.Policy),
		attribute.String("gabion.pick.reason", string(x.Reason)),
	}
	if x.Part != "" {
		attrs = append(attrs, attribute.String("gabion.pick.part", x.Part))
	}
	if x.Zone != "" {
		attrs = append(attrs, attribute.String("gabion.pick.zone", x.Zone))
	}
	if x.Panic {
		attrs = append(attrs, attribute.Bool("gabion.pick.panic", true))
	}
	var compared []string
	for i := range x.Compared {
		compared = append(compared, candidate(&x.Compared[i]))
	}
	if compared != nil {
		attrs = append(attrs, attribute.StringSlice("gabion.pick.compared", compared))
	}
	var excluded []string
	for why, n := range x.Excluded {
		excluded = append(excluded, string(why)+"="+strconv.Itoa(n))
	}
	if excluded != nil {
		slices.Sort(excluded)
		attrs = append(attrs, attribute.StringSlice("gabion.pick.excluded", excluded))
	}
	return attrs
}

// candidate is one line about an endpoint: what counts for its cost, as far as
// it is not nothing.
func candidate(c *balance.Candidate) string {
	var b strings.Builder
	b.WriteString(c.Instance.ID)
	add := func(name, value string) {
		b.WriteByte(' ')
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(value)
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }
	add("cost", number(c.Cost))
	add("in_flight", strconv.Itoa(c.InFlight))
	if c.Latency > 0 {
		add("latency", c.Latency.Round(time.Microsecond).String())
	}
	if c.Stalled > 0 {
		add("stalled", c.Stalled.Round(time.Microsecond).String())
	}
	if c.Failing > 0 {
		add("failing", number(c.Failing))
	}
	if c.Reported >= 0 {
		add("reported", strconv.Itoa(c.Reported))
	}
	if c.SlowStart < 1 {
		add("slow_start", number(c.SlowStart))
	}
	return b.String()
}
