package transport

import "context"

// MarkShed notes that the request of ctx is refused before any work, for a
// reason that is fit for a metric's label: it becomes [Request.Shed], and the
// little time that the refusal took says nothing of the server's load. It is for
// middleware that refuses requests, which answers them itself. Outside a
// [Server] it does nothing.
func MarkShed(ctx context.Context, reason string) {
	if s := requestStateOf(ctx); s != nil {
		s.shed.Store(&reason)
	}
}
