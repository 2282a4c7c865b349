package instrument_test

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/observe/traces"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/instrument"
)

// A client whose calls are counted and traced.
func ExampleClient() {
	registry, _ := static.New(nil)
	defer registry.Close()
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := traces.New("shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := transport.NewClient(registry, transport.WithObserver(instrument.Client(m, t)))
	fmt.Println(c != nil, err)
	_ = c.Close()
	// Output: true <nil>
}
