// Package consul registers services with HashiCorp Consul and finds them
// there.
//
// It speaks to a Consul agent, by preference the one on the same node: an
// agent owns what is registered with it, keeps it in the catalog by itself, and
// takes it out when the node dies. Where there is no agent on the node, give
// the address of one Consul server rather than of a load balancer before many:
// heartbeats and deregistration must reach the agent that was registered with.
// The catalog endpoints are never written to.
//
// # Registration
//
// An instance is announced with a check that follows its real status, from
// the first moment on: a service that is not ready is registered as critical
// and is found by nobody. With a TTL check, the default, this process reports
// each change of status at once and repeats it three times per TTL. With an
// HTTP or gRPC check the agent asks the service itself, and this process looks
// after the registration being there. Whenever the agent is not reachable,
// has restarted empty or has removed the instance, it is registered again, for
// as long as it takes. When the token in [Config.TokenFile] changes the
// instance is registered again too, because the agent uses the token of the
// registration for everything it does for the service later.
//
// # Watching
//
// Each Watch follows its service with one blocking query at a time, by the
// rules that Consul's documentation gives for them: indexes are checked, reads
// are limited in rate whatever Consul answers, and each read has a time limit
// of its own. Several watches of the same service on one [Backend] are several
// queries; a [discovery.Directory] before it shares one among all users.
//
// An instance is listed while none of its checks, and none of its node's, is
// critical. A check in warning state does not exclude it, in accordance with
// [discovery.Warning] and with Consul's DNS; [Config.OnlyPassing] makes it do
// so. Answers that do not hold water are errors, after which the last list
// stands: answers that cannot be decoded, and empty ones that a second read
// through another path of Consul does not confirm, as happens when a token
// stops being valid.
//
// [Backend.WatchKV] follows keys of the key-value store in the same way.
//
// # Errors
//
// Errors of Consul's answers are [api.StatusError]. [ErrDenied] marks those
// for which a token lacks permission, and answers that are larger than
// [Config.MaxResponse] are an [*net/http.MaxBytesError]. [ErrForgotten] says that
// Consul has lost the keys that a watch follows. No token stands in an
// error or a log record.
package consul
