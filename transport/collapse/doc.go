// Package collapse makes one batch call of many single lookups.
//
// A [Collapser] gathers the keys that its callers ask for, for a window of time
// or until there are enough, asks a batch function for all of them at once and
// gives each caller its own value or error:
//
//	products, err := collapse.New(fetchMany, collapse.Settings{Window: 2 * time.Millisecond})
//	p, err := products.Do(ctx, "p-17")
//
// A key that several callers of a batch want is asked for once. Every caller has
// its own context: whoever gives up leaves at once, a key that nobody waits for
// any more is left out as long as its batch has not begun, and a batch that all
// have left ends. A batch's deadline is the latest of its callers'.
//
// A window adds its length to every call's time, so it pays where a batch costs
// much less than its lookups: 2 ms, the default, is little against a call over
// the network.
//
// # Identity
//
// A batch serves several callers, so its context carries the values of none: no
// identity, no trace. Whatever decides what a caller may see has to be part of
// the key, or there has to be a Collapser for each.
//
// # Routes
//
// A gabion client collapses by itself the lookups of the routes that ask for it:
// transport.WithBatch gives it the batch function of a route, and the policy's
// Route.Collapse the [Settings]. There only lookups gather that differ in nothing
// but their URL, so whose they are is kept apart.
//
// # Errors
//
// [Collapser.Do] fails with the error of the caller's own key
// ([Result]); with that of the whole batch; with a [*MissingError], which
// matches [ErrMissing], if the batch brought nothing for the key; with a
// [*PanicError] if the batch function panicked; with [ErrClosed]; or because the
// caller's context has ended.
package collapse
