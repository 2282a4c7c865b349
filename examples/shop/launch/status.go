package launch

import (
	"context"
	"fmt"
	"net/http"
)

// Ready is what [Readiness] says of a process that is ready.
const Ready = "ready"

// Readiness asks a process on /readyz of its admin listener whether it is ready
// for calls, and returns [Ready] or in a few words why not. client needs a
// timeout.
func Readiness(ctx context.Context, client *http.Client, st State) string {
	switch {
	case st.PID == 0:
		return "down"
	case !st.Ready():
		return "starting"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+st.Admin+"/readyz", nil)
	if err != nil {
		return "has no usable admin address"
	}
	resp, err := client.Do(req)
	if err != nil {
		return "does not answer"
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("not ready (%d)", resp.StatusCode)
	}
	return Ready
}
