package ratelimit_test

import (
	"context"

	"github.com/gabion-go/gabion/transport"
)

// observer notes of each request its criticality and why it was shed.
type observer struct{ shed []string }

func (*observer) StartRequest(ctx context.Context, _ *transport.Request) context.Context { return ctx }

func (o *observer) EndRequest(_ context.Context, q *transport.Request) {
	o.shed = append(o.shed, q.Criticality.String()+":"+q.Shed)
}
