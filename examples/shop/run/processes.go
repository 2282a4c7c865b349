package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// processes returns what to start: this program again, once for each instance.
func (s *shop) processes() ([]launch.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("shop: where is this program? %w", err)
	}
	var list []launch.Process
	for _, p := range s.set.plan {
		for n := 1; n <= p.replicas; n++ {
			process := launch.Process{
				Service: p.name, Replica: n, Tier: p.tier, Path: self,
				Args: []string{"service", p.name, "-replica", strconv.Itoa(n), "-data", filepath.Join(s.data, p.name)},
				Env:  s.env(),
			}
			if p.name == "storefront" {
				process.Listener = s.page
				process.Env = append(process.Env, pageVar+"=1")
			}
			list = append(list, process)
		}
	}
	return list, nil
}

// env is the environment of an instance beyond the launcher's own. What could
// not be the same for all is taken out of that.
func (s *shop) env() []string {
	env := []string{
		"GABION_DISCOVERY=" + s.discovery,
		"GABION_ADDR=127.0.0.1:0",
		"GABION_ADMIN_ADDR=127.0.0.1:0",
		"GABION_ADVERTISE=",
		"OTEL_SERVICE_NAME=",
		launchedVar + "=1",
	}
	switch {
	case s.set.verbose:
		env = append(env, "GABION_LOG=debug")
	case s.set.quiet:
		env = append(env, "GABION_LOG=warn")
	}
	if s.set.color && os.Getenv("GABION_LOG_FORMAT") == "" {
		env = append(env, "GABION_LOG_FORMAT=tint") // they write to us, and we to a terminal
	}
	return env
}
