package instrument

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gabion-go/gabion/transport/balance"
)

// pick describes why an attempt goes where it goes. Most picks take three
// attributes.
func pick(x *balance.Explanation) []attribute.KeyValue {
	attrs := append(make([]attribute.KeyValue, 0, 4),
		attribute.String("gabion.pick.policy", x.Policy),
		attribute.String("gabion.pick.reason", string(x.Reason)),
	)
	if x.Part != "" {
		attrs = append(attrs, attribute.String("gabion.pick.part", x.Part))
	}
	if x.Zone != "" {
		attrs = append(attrs, attribute.String("gabion.pick.zone", x.Zone))
	}
	if x.Panic {
		attrs = append(attrs, attribute.Bool("gabion.pick.panic", true))
	}
	if len(x.Compared) > 0 {
		compared := make([]string, len(x.Compared))
		for i := range x.Compared {
			compared[i] = candidate(&x.Compared[i])
		}
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
	b := append(make([]byte, 0, 128), c.Instance.ID...)
	b = strconv.AppendFloat(append(b, " cost="...), c.Cost, 'g', 4, 64)
	b = strconv.AppendInt(append(b, " in_flight="...), int64(c.InFlight), 10)
	if c.Latency > 0 {
		b = append(append(b, " latency="...), c.Latency.Round(time.Microsecond).String()...)
	}
	if c.Stalled > 0 {
		b = append(append(b, " stalled="...), c.Stalled.Round(time.Microsecond).String()...)
	}
	if c.Failing > 0 {
		b = strconv.AppendFloat(append(b, " failing="...), c.Failing, 'g', 4, 64)
	}
	if c.Reported >= 0 {
		b = strconv.AppendInt(append(b, " reported="...), int64(c.Reported), 10)
	}
	if c.SlowStart < 1 {
		b = strconv.AppendFloat(append(b, " slow_start="...), c.SlowStart, 'g', 4, 64)
	}
	return string(b)
}
