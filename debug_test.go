package gabion_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/breaker"
	"github.com/gabion-go/gabion/internal/leaktest"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/doctor"
	"github.com/gabion-go/gabion/transport/limit"
	"github.com/gabion-go/gabion/transport/retry"
)

// What a service calls is shown by name, those without instances too.
func TestDebugListsClients(t *testing.T) {
	leaktest.Check(t)
	var shop *gabion.Service
	svc := run(t, "shop", func(s *gabion.Service) {
		s.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
		shop = s
	}, gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "static:")))
	for _, name := range []string{"d", "b", "a", "c"} {
		if resp, err := shop.Client(name).Get("http://" + name + "/"); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s answers", name)
		}
	}
	_, _, body, err := fetch(t, plain(), "http://"+svc.AdminAddr()+"/debug/gabion")
	var state struct {
		Clients []struct {
			Service   string
			Endpoints json.RawMessage
		}
	}
	if err := errors.Join(err, json.Unmarshal([]byte(body), &state)); err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, c := range state.Clients {
		names += c.Service
		if string(c.Endpoints) != "[]" {
			t.Errorf("the endpoints of %s are %s", c.Service, c.Endpoints)
		}
	}
	if names != "abcd" {
		t.Errorf("clients in the order %s", names)
	}
}

// How calls are guarded, and what makes no sense about it, is shown.
func TestDebugShowsGuards(t *testing.T) {
	leaktest.Check(t)
	policy := transport.Policy{
		Timeout: time.Second, Hedge: retry.Hedge{On: true}, Breaker: breaker.Settings{Shadow: true},
		Throttle: limit.ThrottlePolicy{On: true, Shadow: true},
		Routes:   map[string]transport.Route{"GET /x": {Timeout: 2 * time.Second, Hedge: &retry.Hedge{On: true, Samples: 7}, Limit: limit.Policy{MaxInflight: 3}}},
	}
	var shop *gabion.Service
	svc := run(t, "shop", func(s *gabion.Service) { shop = s },
		gabion.WithGetenv(environment(t, "GABION_DISCOVERY", "static:")), gabion.WithPolicy("cart", policy),
		gabion.WithShutdownTimeout(time.Minute))
	if resp, err := shop.Client("cart").Get("http://cart/"); err == nil {
		_ = resp.Body.Close()
		t.Fatal("cart answers")
	}
	_, _, body, err := fetch(t, plain(), "http://"+svc.AdminAddr()+"/debug/gabion")
	var state struct {
		Clients []struct {
			Source   string `json:"policy_source"`
			Hedging  []struct{ Route string }
			Throttle struct{ On bool }
			Shadow   map[string]int
			Routes   []struct {
				Route    string
				InFlight *int `json:"in_flight"`
				Limit    int
				Refused  *int
			} `json:"route_bulkheads"`
			Policy transport.Policy
		}
		Policies struct {
			Version int
			Source  string
			InForce transport.Policies `json:"in_force"`
		}
		Doctor []struct{ Code, Severity, Service, Callee, Route, Message string }
	}
	if err := errors.Join(err, json.Unmarshal([]byte(body), &state)); err != nil {
		t.Fatal(err)
	}
	if len(state.Clients) != 1 {
		t.Fatalf("clients %+v", state.Clients)
	}
	c := state.Clients[0]
	if c.Source != transport.FromCode || len(c.Hedging) != 2 || c.Hedging[1].Route != "GET /x" || !c.Throttle.On ||
		len(c.Shadow) != 2 || c.Policy.Routes["GET /x"].Timeout != 2*time.Second {
		t.Errorf("shown: %+v", c)
	}
	if len(c.Routes) != 1 || c.Routes[0].Route != "GET /x" || c.Routes[0].Limit != 3 || c.Routes[0].InFlight == nil || c.Routes[0].Refused == nil {
		t.Errorf("bulkheads of routes: %+v", c.Routes)
	}
	if p := state.Policies; p.Version != 0 || p.Source != transport.FromCode || p.InForce.Services["cart"].Timeout != time.Second {
		t.Errorf("policies: %+v", p)
	}
	var codes []string
	for _, f := range state.Doctor {
		codes = append(codes, f.Code)
	}
	for _, want := range []doctor.Code{doctor.DrainOverGrace, doctor.AttemptFillsTimeout, doctor.Shadowed, doctor.MissingFallback} {
		if !slices.Contains(codes, string(want)) {
			t.Errorf("the doctor does not find %s among %v", want, codes)
		}
	}
}
