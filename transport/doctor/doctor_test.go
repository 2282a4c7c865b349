package doctor_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/balance"
	"github.com/gabion-go/gabion/transport/doctor"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

const s = time.Second

// calling is a service that calls cart by p, with an answer for when cart has
// none.
func calling(p transport.Policy, more ...func(*doctor.Service)) doctor.Service {
	svc := doctor.Service{Name: "shop", Policies: transport.Policies{Services: map[string]transport.Policy{"cart": p}}, Fallbacks: []string{""}}
	for _, f := range more {
		f(&svc)
	}
	return svc
}

// chain is a fleet in which each calls the next by p.
func chain(p transport.Policy, unmarked bool, names ...string) doctor.Fleet {
	var f doctor.Fleet
	for i, name := range names {
		svc := doctor.Service{Name: name, Policies: transport.Policies{Default: p}, Fallbacks: []string{""}, Unmarked: unmarked}
		if i+1 < len(names) {
			svc.Calls = []doctor.Call{{Service: names[i+1]}}
		}
		f.Services = append(f.Services, svc)
	}
	return f
}

func fleet(all ...doctor.Service) doctor.Fleet { return doctor.Fleet{Services: all} }

func route(pattern string, r transport.Route) transport.Policy {
	return transport.Policy{Routes: map[string]transport.Route{pattern: r}}
}

func rate(perSecond float64) func(*doctor.Service) {
	return func(svc *doctor.Service) { svc.Calls = []doctor.Call{{Service: "cart", PerSecond: perSecond}} }
}

func noFallbacks(svc *doctor.Service) { svc.Fallbacks = nil }

// Each finding fires where it should, and does not in the nearest case where it
// should not.
func TestFindings(t *testing.T) {
	hedge := &retry.Hedge{On: true}
	for name, c := range map[string]struct {
		code      doctor.Code
		severity  doctor.Severity
		sick      doctor.Fleet
		well      doctor.Fleet
		in, about string // the service and the route
	}{
		"invalid": {doctor.InvalidPolicy, doctor.Error,
			fleet(calling(transport.Policy{ResponseBytes: -1})), fleet(calling(transport.Policy{Balance: balance.Policy{Name: "my-own"}})), "shop", ""},
		"an attempt as long as the call": {doctor.AttemptFillsTimeout, doctor.Warning,
			fleet(calling(transport.Policy{Timeout: s})), fleet(calling(transport.Policy{Timeout: s, AttemptTimeout: s / 3})), "shop", ""},
		"an attempt as long as the route": {doctor.AttemptFillsTimeout, doctor.Warning,
			fleet(calling(route("GET /x", transport.Route{Timeout: s}))),
			fleet(calling(route("GET /x", transport.Route{Timeout: s, Retry: &retry.Policy{Attempts: 1}}))), "shop", "GET /x"},
		"inverted timeouts": {doctor.InvertedTimeout, doctor.Warning,
			fleet(calling(transport.Policy{}), doctor.Service{Name: "cart", Policies: transport.Policies{Services: map[string]transport.Policy{"stock": {Timeout: 3 * s}}}, Fallbacks: []string{""}}),
			fleet(calling(transport.Policy{}), doctor.Service{Name: "cart", Policies: transport.Policies{Services: map[string]transport.Policy{"stock": {Timeout: 2 * s, AttemptTimeout: s}}}, Fallbacks: []string{""}}), "shop", ""},
		"a server that writes for too short a time": {doctor.WriteTimeout, doctor.Error,
			fleet(calling(transport.Policy{Timeout: time.Minute}), doctor.Service{Name: "cart", ShutdownTimeout: time.Minute, Grace: time.Hour}),
			fleet(calling(transport.Policy{Timeout: time.Minute}), doctor.Service{Name: "cart", ShutdownTimeout: time.Minute, Grace: time.Hour, Server: transport.ServerSettings{WriteTimeout: -1}}), "shop", ""},
		"retries that multiply": {doctor.RetryAmplification, doctor.Warning,
			chain(transport.Policy{}, true, "a", "b", "c"), chain(transport.Policy{}, false, "a", "b", "c", "d", "e"), "a", ""},
		"retries of one hop": {doctor.RetryAmplification, doctor.Warning,
			chain(transport.Policy{Retry: retry.Policy{Attempts: 2}}, true, "a", "b", "c", "d"),
			chain(transport.Policy{Retry: retry.Policy{Attempts: 1}}, true, "a", "b", "c", "d"), "a", ""},
		"a circle": {doctor.CallCycle, doctor.Warning,
			chain(transport.Policy{}, false, "a", "b", "a"), chain(transport.Policy{}, false, "a", "b", "c"), "a", ""},
		"a hedged put": {doctor.HedgedWrite, doctor.Warning,
			fleet(calling(route("PUT /x", transport.Route{Hedge: hedge}))), fleet(calling(route("GET /x", transport.Route{Hedge: hedge}))), "shop", "PUT /x"},
		"a hedged post": {doctor.HedgedWrite, doctor.Warning,
			fleet(calling(transport.Policy{Hedge: *hedge, Routes: map[string]transport.Route{"POST /x": {Idempotent: true}}})),
			fleet(calling(transport.Policy{Hedge: *hedge, Routes: map[string]transport.Route{"POST /x": {Idempotent: true, Hedge: &retry.Hedge{}}}})), "shop", "POST /x"},
		"a hedge that comes too late": {doctor.HedgeTooLate, doctor.Warning,
			fleet(calling(transport.Policy{Hedge: retry.Hedge{On: true, MinDelay: 2 * s}})),
			fleet(calling(transport.Policy{Hedge: retry.Hedge{On: true, MinDelay: s}})), "shop", ""},
		"a drain longer than the grace period": {doctor.DrainOverGrace, doctor.Error,
			fleet(doctor.Service{Name: "cart", DrainDelay: 10 * s, ShutdownTimeout: 20 * s}),
			fleet(doctor.Service{Name: "cart", DrainDelay: 10 * s, ShutdownTimeout: 20 * s, Grace: 33 * s}), "cart", ""},
		"a shutdown shorter than its calls": {doctor.ShutdownCutsCalls, doctor.Warning,
			fleet(calling(transport.Policy{Timeout: 20 * s}), doctor.Service{Name: "cart"}),
			fleet(calling(transport.Policy{Timeout: 17 * s}), doctor.Service{Name: "cart"}), "cart", ""},
		"no fallback": {doctor.MissingFallback, doctor.Info,
			fleet(calling(transport.Policy{}, noFallbacks)),
			fleet(calling(transport.Policy{Fallback: transport.Fallback{LastGood: s}}, noFallbacks)), "shop", ""},
		"no fallback for what is shed first": {doctor.MissingFallback, doctor.Warning,
			fleet(calling(route("GET /x", transport.Route{Criticality: "sheddable"}), noFallbacks)),
			fleet(calling(route("GET /x", transport.Route{Criticality: "sheddable", Fallback: &transport.Fallback{LastGood: s}}), noFallbacks)), "shop", "GET /x"},
		"no fallback for what matters most": {doctor.MissingFallback, doctor.Warning,
			fleet(calling(route("/x", transport.Route{Criticality: "critical_plus"}), noFallbacks)),
			fleet(calling(route("POST /x", transport.Route{Criticality: "critical_plus"}), noFallbacks)), "shop", "/x"},
		"a fallback to itself": {doctor.FallbackToItself, doctor.Error,
			fleet(calling(transport.Policy{Fallback: transport.Fallback{Service: "cart"}})),
			fleet(calling(transport.Policy{Fallback: transport.Fallback{Service: "carts"}})), "shop", ""},
		"a breaker with too few calls": {doctor.BreakerNeverOpens, doctor.Error,
			fleet(calling(transport.Policy{Breaker: breaker.Settings{Consecutive: -1}}, rate(1))),
			fleet(calling(transport.Policy{Breaker: breaker.Settings{Consecutive: -1}}, rate(2))), "shop", ""},
		"a breaker with impatient probes": {doctor.BreakerNeverCloses, doctor.Warning,
			fleet(calling(transport.Policy{AttemptTimeout: 3 * s})),
			fleet(calling(transport.Policy{AttemptTimeout: 3 * s, Breaker: breaker.Settings{Lease: 3 * s}})), "shop", ""},
		"a bulkhead too small": {doctor.BulkheadTooSmall, doctor.Warning,
			fleet(calling(transport.Policy{Limit: limit.Policy{MaxInflight: 10}}, rate(100))),
			fleet(calling(transport.Policy{Limit: limit.Policy{MaxInflight: 10}}, rate(50))), "shop", ""},
		"a bulkhead without effect": {doctor.BulkheadWithoutEffect, doctor.Warning,
			fleet(calling(route("GET /x", transport.Route{Limit: limit.Policy{MaxInflight: 1025}}))),
			fleet(calling(route("GET /x", transport.Route{Limit: limit.Policy{MaxInflight: 1024}}))), "shop", "GET /x"},
		"no cache": {doctor.NoCache, doctor.Error,
			fleet(calling(route("GET /x", transport.Route{Cache: true}))),
			fleet(calling(route("GET /x", transport.Route{Cache: true}), func(svc *doctor.Service) { svc.Cache = true })), "shop", "GET /x"},
		"a shadow": {doctor.Shadowed, doctor.Info,
			fleet(calling(transport.Policy{Breaker: breaker.Settings{Shadow: true}})), fleet(calling(transport.Policy{})), "shop", ""},
	} {
		t.Run(name, func(t *testing.T) {
			has := func(f doctor.Fleet) bool {
				return slices.ContainsFunc(doctor.Check(f), func(x doctor.Finding) bool {
					return x.Code == c.code && x.Severity == c.severity && x.Service == c.in && x.Route == c.about
				})
			}
			if !has(c.sick) {
				t.Errorf("not found:\n%s", lines(doctor.Check(c.sick)))
			}
			if has(c.well) {
				t.Errorf("found where all is well:\n%s", lines(doctor.Check(c.well)))
			}
		})
	}
}

func lines(all []doctor.Finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

// The defaults are in order, and findings come in an order that is always the
// same.
func TestDefaultsAreInOrder(t *testing.T) {
	if got := doctor.Check(chain(transport.Policy{Timeout: 5 * s}, false, "shop", "cart")); len(got) != 0 {
		t.Errorf("found:\n%s", lines(got))
	}
	sick := fleet(
		calling(transport.Policy{Timeout: s, Breaker: breaker.Settings{Shadow: true}, Limit: limit.Policy{Shadow: true}, Balance: balance.Policy{Ejection: balance.Ejection{Shadow: true}}}, noFallbacks),
		doctor.Service{Name: "b", DrainDelay: time.Hour}, doctor.Service{Name: "a", DrainDelay: time.Hour},
	)
	first := lines(doctor.Check(sick))
	for range 20 {
		if again := lines(doctor.Check(sick)); again != first {
			t.Fatalf("first\n%s\nthen\n%s", first, again)
		}
	}
	if !strings.HasPrefix(first, "error: a: drain_over_grace") {
		t.Errorf("the most severe is not first:\n%s", first)
	}
}

func TestFindingInJSON(t *testing.T) {
	out, err := json.Marshal(doctor.Finding{Code: doctor.NoCache, Severity: doctor.Error, Service: "shop", Message: "x"})
	if err != nil || string(out) != `{"code":"no_cache","severity":"error","service":"shop","message":"x"}` {
		t.Errorf("%s, %v", out, err)
	}
}
