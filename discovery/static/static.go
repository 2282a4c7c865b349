package static

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/internal/feed"
)

// A Backend is a set of lists. All methods may be called at the same time.
// It runs no goroutine.
type Backend struct{ feed *feed.Feed }

// The interface is held to.
var _ discovery.Backend = (*Backend)(nil)

// Open makes a Backend from a URL such as
//
//	static:pricing=127.0.0.1:9001,127.0.0.1:9002;cart=127.0.0.1:9003
//
// It is a [discovery.Opener]. static: alone knows no service. An error names
// the character at which the URL cannot be understood, the first being 1.
func Open(_ context.Context, url string) (discovery.Backend, error) {
	lists, err := parse(url)
	if err != nil {
		return nil, err
	}
	return New(lists)
}

// New returns a Backend with the given lists by service. An instance without
// an ID gets service@address, one without a Service the key it stands under.
// The error joins whatever is wrong, see [discovery.Instance.Validate].
func New(lists map[string][]discovery.Instance) (*Backend, error) {
	b := &Backend{feed: feed.New()}
	b.feed.Settle()
	var errs []error
	for service, list := range lists {
		errs = append(errs, b.Set(service, list))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return b, nil
}

// Set replaces the list of service; those who watch it are told. It keeps a
// copy. An empty list takes the service away. Blanks are filled and errors
// found as by [New]; a list with an error changes nothing.
func (b *Backend) Set(service string, list []discovery.Instance) error {
	if err := discovery.ValidateName(service); err != nil {
		return err
	}
	list = discovery.CloneList(list)
	seen := map[string]bool{}
	var errs []error
	for i := range list {
		complete(&list[i], service)
		if err := check(list[i], service, seen); err != nil {
			errs = append(errs, fmt.Errorf("static: %s, instance %d: %w", service, i+1, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	b.feed.Set(service, list)
	return nil
}

// complete fills in what follows from the place of in.
func complete(in *discovery.Instance, service string) {
	if in.Service == "" {
		in.Service = service
	}
	if in.ID == "" {
		in.ID = service + "@" + in.Addr
	}
}

// check reports why in cannot stand in the list of service next to those whose
// IDs were seen.
func check(in discovery.Instance, service string, seen map[string]bool) error {
	if err := in.Validate(); err != nil {
		return err
	}
	if in.Service != service {
		return fmt.Errorf("belongs to %q", in.Service)
	}
	if seen[in.ID] {
		return fmt.Errorf("second with the ID %q", in.ID)
	}
	seen[in.ID] = true
	return nil
}

// Register returns an error that matches [discovery.ErrReadOnly].
func (b *Backend) Register(_ context.Context, in discovery.Instance, _ discovery.StatusFunc) (discovery.Registration, error) {
	return nil, fmt.Errorf("static: register %.64q: %w", in.Service, discovery.ErrReadOnly)
}

// Watch implements [discovery.Resolver].
func (b *Backend) Watch(ctx context.Context, service string) iter.Seq2[[]discovery.Instance, error] {
	return b.feed.Watch(ctx, service)
}

// Close ends every watch. A second Close does nothing.
func (b *Backend) Close() error {
	b.feed.Close()
	return nil
}
