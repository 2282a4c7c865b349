package traces_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gabion-go/gabion/observe/traces"
)

func Example() {
	p, err := traces.New("cart", traces.WithEnv(func(string) string { return "" }))
	if err != nil {
		panic(err)
	}

	in := http.Header{}
	in.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	ctx, opts := p.Incoming(context.Background(), in)
	ctx, span := p.Tracer("example").Start(ctx, "GET /carts/{id}", opts...)
	defer span.End()

	out := http.Header{}
	p.Outgoing(ctx, out)
	fmt.Println(out.Get("traceparent"))

	if err := p.Shutdown(context.Background()); err != nil {
		panic(err)
	}
	// Output:
	// 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
}
