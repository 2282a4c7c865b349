package discovery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An Opener makes a Backend from a discovery URL. ctx bounds the opening only.
// A registry that is unreachable is not an error of the opener; a URL that
// cannot be understood is.
type Opener func(ctx context.Context, url string) (Backend, error)

// Openers maps a URL's scheme to what opens it. There is no global set:
// whoever opens URLs fills one.
type Openers map[string]Opener

// Open opens url with the opener of its scheme. The scheme is what stands
// before the first colon. An unknown scheme gives an error that matches
// [ErrUnknownScheme] and names those that are known.
func (o Openers) Open(ctx context.Context, url string) (Backend, error) {
	scheme, _, ok := strings.Cut(url, ":")
	if !ok {
		return nil, fmt.Errorf("%w in %.40q: want a URL such as consul://127.0.0.1:8500 or gossip://", ErrUnknownScheme, url)
	}
	open := o[scheme]
	if open == nil {
		known := "none"
		if len(o) > 0 {
			known = strings.Join(slices.Sorted(maps.Keys(o)), ", ")
		}
		return nil, fmt.Errorf("%w %.40q: have %s", ErrUnknownScheme, scheme, known)
	}
	b, err := open(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("discovery: open %s: %w", scheme, err)
	}
	return b, nil
}
