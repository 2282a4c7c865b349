package launch

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// prober asks processes whether they live. Each probe has its own connection,
// so that it sees what a new caller would see.
type prober struct{ client *http.Client }

func newProber(timeout time.Duration) prober {
	return prober{&http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
}

// untilDead probes /livez on the admin listener until it has failed too often
// in a row; then it returns true. It returns false when ctx ends.
func (p prober) untilDead(ctx context.Context, admin string, t Timing) bool {
	for failures := 0; failures < t.ProbeFailures; {
		if !sleep(ctx, t.ProbeEvery) {
			return false
		}
		err := p.get(ctx, "http://"+admin+"/livez")
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			failures++
		default:
			failures = 0
		}
	}
	return true
}

// get returns an error unless url answers 200.
func (p prober) get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("launch: probe: %w", err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("launch: probe: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("launch: probe: %s answers %s", url, resp.Status)
	}
	return nil
}
