package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/observe/metrics"
	"github.com/gabion-go/gabion/observe/traces"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/instrument"
)

// quote is the 204-byte body that a POST carries.
var quote = []byte(`{"customer":"c-1029","currency":"EUR","lines":[` +
	`{"product":"teapot","quantity":2},{"product":"cup-and-saucer","quantity":6},` +
	`{"product":"strainer","quantity":1},{"product":"sugar-tongs","quantity":1}]}    `)

var quoted = []byte(`{"total":{"amount":12345,"currency":"EUR"}}`)

func serveQuote(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(quoted)
}

// A callKind is a way to make the same call on loopback, client and server in
// this process.
type callKind struct {
	name  string
	start func(tb testing.TB) (*http.Client, string)
}

var (
	// bareCalls go through net/http alone.
	bareCalls = callKind{"bare", startBare}
	// gabionCalls have everything on: discovery, balancing, breaker, retries,
	// limits, metrics, and traces of which 1 % are sampled.
	gabionCalls = callKind{"gabion", func(tb testing.TB) (*http.Client, string) { return startGabion(tb, 0.01) }}
	// tracedCalls are gabionCalls of which each is exported, in batches.
	tracedCalls = callKind{"traced", func(tb testing.TB) (*http.Client, string) { return startGabion(tb, 1) }}
)

// BenchmarkCall measures a whole call of each kind. What the kinds cost beside
// each other is better seen in BenchmarkRatio.
func BenchmarkCall(b *testing.B) {
	for _, kind := range []callKind{bareCalls, gabionCalls, tracedCalls} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for _, c := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%s/%s/c=%d", kind.name, method, c), func(b *testing.B) {
					client, url := kind.start(b)
					call := func() error { return callOnce(b.Context(), client, method, url) }
					warmUp(b, call, c)
					b.ReportAllocs()
					b.ResetTimer()
					runCalls(b, call, c, b.N)
				})
			}
		}
	}
}

// BenchmarkRatio compares a call through gabion with one through bare net/http.
// The two run in turns of a few milliseconds, so that whatever else the machine
// does meets both, and of each the tenth of the turns counts that was disturbed
// least. It reports how much longer a call takes (x-bare), how much more
// processor time it needs (x-cpu), and how many allocations more it makes
// (+allocs/op), on both sides together.
func BenchmarkRatio(b *testing.B) {
	for _, kind := range []callKind{gabionCalls, tracedCalls} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for _, c := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%s/%s/c=%d", kind.name, method, c), func(b *testing.B) {
					compare(b, kind, method, c)
				})
			}
		}
	}
}

// turn is how many calls are made of one kind before it is the other's turn.
const turn = 100

func compare(b *testing.B, kind callKind, method string, concurrent int) {
	clientA, urlA := bareCalls.start(b)
	clientB, urlB := kind.start(b)
	bare := func() error { return callOnce(b.Context(), clientA, method, urlA) }
	full := func() error { return callOnce(b.Context(), clientB, method, urlB) }
	warmUp(b, bare, concurrent)
	warmUp(b, full, concurrent)
	b.ResetTimer()
	var less, much costs
	made := 0
	for ; made < b.N; made += turn {
		less.add(measure(b, bare, concurrent))
		much.add(measure(b, full, concurrent))
	}
	b.ReportMetric(least(much.took)/least(less.took), "x-bare")
	b.ReportMetric(least(much.cpu)/least(less.cpu), "x-cpu")
	b.ReportMetric((much.allocs-less.allocs)/float64(made), "+allocs/op")
}

// costs are those of all turns of one kind.
type costs struct {
	took, cpu []float64
	allocs    float64
}

func (c *costs) add(turn cost) {
	c.took = append(c.took, float64(turn.took))
	c.cpu = append(c.cpu, float64(turn.cpu))
	c.allocs += turn.allocs
}

// least returns the tenth percentile.
func least(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/10]
}

// cost is what a turn of calls takes.
type cost struct {
	took, cpu time.Duration
	allocs    float64
}

// measure makes a turn of calls.
func measure(b *testing.B, call func() error, concurrent int) cost {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := transport.CPUTime(), time.Now()
	runCalls(b, call, concurrent, turn)
	c := cost{took: time.Since(start), cpu: transport.CPUTime() - cpu}
	runtime.ReadMemStats(&after)
	c.allocs = float64(after.Mallocs - before.Mallocs)
	return c
}

// callOnce makes one call and reads the answer.
func callOnce(ctx context.Context, client *http.Client, method, url string) error {
	var body io.Reader
	if method == http.MethodPost {
		body = bytes.NewReader(quote)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// warmUp fills connections, tables and pools.
func warmUp(b *testing.B, call func() error, concurrent int) { runCalls(b, call, concurrent, 500) }

// runCalls makes n calls, so many at once.
func runCalls(b *testing.B, call func() error, concurrent, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	done := make(chan error, concurrent)
	for range concurrent {
		go func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range concurrent {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func listen(tb testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func startBare(tb testing.TB) (*http.Client, string) {
	l := listen(tb)
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/quote", serveQuote)
	srv := &http.Server{Handler: mux}
	go func() { _ = srv.Serve(l) }()
	tr := &http.Transport{MaxIdleConnsPerHost: 1024}
	tb.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = srv.Close()
	})
	return &http.Client{Transport: tr}, "http://" + l.Addr().String() + "/v1/quote"
}

// startGabion starts both sides. Of the traces, the share sampled is exported.
func startGabion(tb testing.TB, sampled float64) (*http.Client, string) {
	l := listen(tb)
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	t, err := traces.New("bench",
		traces.WithExporter(tracetest.NewNoopExporter()),
		traces.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(sampled))))
	if err != nil {
		tb.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/quote", serveQuote)
	srv, err := transport.NewServer(mux, transport.WithServerObserver(instrument.Server("pricing", m, t)))
	if err != nil {
		tb.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	backend, err := static.New(map[string][]discovery.Instance{"pricing": {{ID: "pricing-1", Service: "pricing", Addr: l.Addr().String()}}})
	if err != nil {
		tb.Fatal(err)
	}
	c, err := transport.NewClient(backend, transport.WithObserver(instrument.Client(m, t)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = c.Close()
		_ = srv.Close()
		_ = backend.Close()
		_ = t.Shutdown(tb.Context())
	})
	return c.HTTPClient(), "http://pricing/v1/quote"
}
