package transporttest

import (
	"fmt"
	"net/http"
	"os"
	"testing"
)

// A RunOption changes how a [Scenario] is run, once or by [Explore], and how
// [Seeds] runs.
type RunOption interface{ applyRun(*runConfig) }

type runOption func(*runConfig)

func (f runOption) applyRun(c *runConfig) { f(c) }

type runConfig struct {
	via      Via
	programs map[string]program
	network  []Option
	await    func() // nil for nothing
	shrink   bool
}

// program is what a service runs if that is in code.
type program struct {
	handler func(*Process) http.Handler
	main    Main // in its place
	opts    []ServiceOption
}

// WithVia sets the client under test, which carries the calls of the loads and
// those of services that are plain data. Default [Gabion].
func WithVia(via Via) RunOption { return runOption(func(c *runConfig) { c.via = via }) }

// WithAwait has await called when the services have been started; the times of
// the scenario count from its return. In a bubble they are there by then; in
// real time await waits for them, as package sockets does. Default nothing.
func WithAwait(await func()) RunOption { return runOption(func(c *runConfig) { c.await = await }) }

// WithHandler has a service of the scenario answer with the handler that
// newHandler makes, as [Network.Serve] does, and not as its Behaviour says.
func WithHandler(service string, newHandler func(*Process) http.Handler, opts ...ServiceOption) RunOption {
	return runOption(func(c *runConfig) { c.programs[service] = program{handler: newHandler, opts: opts} })
}

// WithProgram has the replicas of a service run main, as [Network.Launch] does.
func WithProgram(service string, main Main) RunOption {
	return runOption(func(c *runConfig) { c.programs[service] = program{main: main} })
}

// WithOptions adds options to the networks that are made.
func WithOptions(opts ...Option) RunOption {
	return runOption(func(c *runConfig) { c.network = append(c.network, opts...) })
}

// WithShrink sets whether [Explore] and [Seeds] look for the smallest part of
// what fails that fails too. Default what GABION_SHRINK says, else false.
func WithShrink(on bool) RunOption { return runOption(func(c *runConfig) { c.shrink = on }) }

// newRunConfig fails tb if the environment is wrong.
func newRunConfig(tb testing.TB, opts []RunOption) *runConfig {
	tb.Helper()
	cfg, err := readRunConfig(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return cfg
}

func readRunConfig(opts []RunOption) (*runConfig, error) {
	c := &runConfig{via: Gabion, programs: map[string]program{}}
	switch text := os.Getenv(ShrinkVariable); text {
	case "", "0":
	case "1":
		c.shrink = true
	default:
		return nil, fmt.Errorf("transporttest: %s=%.40q: want 1 or 0", ShrinkVariable, text)
	}
	for _, o := range opts {
		o.applyRun(c)
	}
	return c, nil
}
