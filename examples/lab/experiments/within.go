package experiments

import (
	"sort"
	"time"

	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// within returns the part of the calls that went well and took no longer than
// d. Calls that failed, but for those that never left the client, must have
// taken longer.
func within(r *report.Report, d time.Duration) float64 {
	if r.Calls == 0 {
		return 0
	}
	n := float64(r.Calls)
	above := sort.Search(r.Calls, func(i int) bool { return r.Quantile((float64(i)+0.5)/n) > d })
	return float64(above-r.Errors[report.ErrRejected]) / n
}
