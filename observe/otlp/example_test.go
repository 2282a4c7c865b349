package otlp_test

import (
	"context"
	"fmt"
	"os"

	"github.com/gabion-go/gabion/observe/otlp"
	"github.com/gabion-go/gabion/observe/traces"
)

func ExampleExporter() {
	ctx := context.Background()
	exporter, err := otlp.Exporter(ctx) // to OTEL_EXPORTER_OTLP_ENDPOINT
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	p, err := traces.New("cart", traces.WithExporter(exporter))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Println("recording:", p.Recording())
	if err := p.Shutdown(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// Output: recording: true
}
