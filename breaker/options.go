package breaker

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"

	"github.com/gabion-go/gabion/internal/random"
)

// An Option sets up a [Breaker]. The later of two equal options wins.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// WithSettings sets thresholds and times. Zero fields mean their defaults.
func WithSettings(s Settings) Option {
	return optionFunc(func(c *config) { c.Settings = s })
}

// WithClassifier sets what an error says about the dependency. classify is
// called with the error as the guarded code returned it, for errors that the
// rules of the package comment leave open: never with nil, never after the
// caller's context is done. It may be called from many goroutines at once and
// no lock is held. A panic in it makes the outcome a [Failure]. The default is
// that every such error is a failure.
func WithClassifier(classify func(error) Outcome) Option {
	return optionFunc(func(c *config) { c.classify = classify })
}

// WithSubscriber subscribes f as [Breaker.Subscribe] does, before the first
// call. It can be given more than once.
func WithSubscriber(f func(Event)) Option {
	return optionFunc(func(c *config) { c.subscribers = append(c.subscribers, &subscriber{call: f}) })
}

// WithLogger sets where panics of subscribers and of the classifier are
// reported. The default, and nil, discards them.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) { c.logger = l })
}

// WithRand sets where chance comes from: the jitter of open periods and which
// calls pass during the ramp. With a seeded source and the same calls at the
// same times a breaker decides the same. src must be safe for concurrent use.
// The default, and nil, is the runtime's generator.
func WithRand(src rand.Source) Option {
	return optionFunc(func(c *config) { c.rand = src })
}

// config is shared by all breakers of a Group. Only tickets changes.
type config struct {
	Settings // complete: defaults filled in

	classify    func(error) Outcome
	subscribers []*subscriber
	logger      *slog.Logger
	rand        rand.Source
	tickets     sync.Pool // of *ticket
}

func newConfig(opts []Option) (*config, error) {
	c := &config{}
	for _, o := range opts {
		o.apply(c)
	}
	err := c.Validate()
	for _, s := range c.subscribers {
		if s.call == nil {
			err = errors.Join(err, errors.New("breaker: subscriber is nil"))
		}
	}
	if err != nil {
		return nil, err
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.rand == nil {
		c.rand = random.Runtime
	}
	c.Settings = c.inForce()
	c.tickets.New = func() any { return new(ticket) }
	return c, nil
}
