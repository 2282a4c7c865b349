// Package gabion makes one microservice out of an [http.Handler]: registered,
// discovered, called through a balancer and a circuit breaker, health-checked,
// metered, traced, and drained in order.
//
//	svc, err := gabion.New("hello")
//	...
//	svc.HandleFunc("GET /hello/{name}", hello)
//	err = svc.Run(ctx)
//
// A [Service] is assembled from packages that can each be used alone:
// breaker, discovery, health, transport and observe. It needs no configuration
// and no server: by default it listens on a free port of loopback and finds
// other services by gossip. What surrounds it comes from the environment:
//
//	GABION_ADDR              127.0.0.1:0    where it listens
//	GABION_ADVERTISE         the listener   host:port that others are told
//	GABION_ADMIN_ADDR        127.0.0.1:0    where /livez, /metrics ... are
//	GABION_DISCOVERY         gossip://      also consul://host:port, static:name=host:port,...
//	GABION_ZONE              empty          placed on the instance
//	GABION_VERSION           empty          placed on the instance
//	GABION_LOG               info           debug, info, warn, error
//	GABION_LOG_FORMAT        auto           json, ecs, tint
//	GABION_DRAIN_DELAY       2s             between deregistration and closing
//	GABION_SHUTDOWN_TIMEOUT  15s            for requests in flight
//
// OTEL_* and CONSUL_* variables keep their usual meaning.
//
// # Lifecycle
//
// [Service.Run] listens, runs the startup steps, becomes ready and then
// registers. When its context ends, or on SIGTERM or SIGINT, it stops being
// ready, deregisters, keeps serving for the drain delay, stops accepting,
// finishes what is in flight within the shutdown timeout, ends background work,
// flushes telemetry and returns nil. A second signal ends the process at once
// with status 1. A registry that cannot be reached is a warning in the log and
// a degraded state, never the end of the service.
package gabion
