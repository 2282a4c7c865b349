// Package requestid gives every request an id that people can quote: one from
// the caller's X-Request-Id, if the caller is trusted and the id well formed,
// or a new one. It stands in the response's header, in the request's context
// and, by [LogHandler], in each log record; [Transport] hands it on with calls.
//
// Traces do all of this with more detail (observe/traces, observe/logs). Ids of
// requests are for where no trace reaches: support tickets, proxies, other
// people's logs.
package requestid
