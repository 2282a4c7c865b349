// Package compress carries HTTP bodies in gzip, within bounds.
//
// [Requests] is middleware that decompresses what clients send, so that the
// handlers behind it and their bounds, such as those of transport.DecodeJSON,
// see plain bodies: a body that grows beyond the bound ends in an error and not
// in memory. [Responses] is middleware that compresses what handlers answer
// where the client wants it and it is worth it. [Client] is an
// http.RoundTripper that asks for compressed responses and decompresses them
// within a bound; transport.Client itself passes bodies through as they were
// sent.
//
// A response that holds both a secret and something that the client chose, over
// TLS, tells by its compressed length how much the two have in common (the
// BREACH attack). Routes that answer so should not be compressed, or mask their
// secrets anew for each response: a "Cache-Control: no-transform" on the
// response keeps it as it is.
package compress
