package balance_test

import (
	"math"
	"testing"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/transport/balance"
)

// inZones returns instances of which so many are in each zone, each with the
// weight given for it.
func inZones(zones []string, counts []int, weights ...int) []discovery.Instance {
	var list []discovery.Instance
	for i, z := range zones {
		for range counts[i] {
			list = append(list, discovery.Instance{Zone: z})
			if weights != nil {
				list[len(list)-1].Weight = weights[i]
			}
		}
	}
	for i, in := range instances(len(list)) {
		list[i].ID, list[i].Addr = in.ID, in.Addr
	}
	return list
}

// Where 100,000 calls of a caller in zone a go: as the zones' capacities say,
// within 1 %. The policy counts only within a zone.
func TestCallsByZone(t *testing.T) {
	zones := []string{"a", "b", "c"}
	for name, c := range map[string]struct {
		counts  []int
		weights []int
		peers   map[string]int
		caller  string
		zones   balance.Zones
		change  func(t *testing.T, b *balance.Balancer)
		want    []float64
	}{
		"enough here":            {counts: []int{4, 4, 4}, caller: "a", want: []float64{1, 0, 0}},
		"a small zone spills":    {counts: []int{2, 4, 4}, caller: "a", want: []float64{0.6, 0.2, 0.2}},
		"peers are elsewhere":    {counts: []int{2, 4, 4}, caller: "a", peers: map[string]int{"a": 1, "b": 2, "c": 2}, want: []float64{1, 0, 0}},
		"peers are all here":     {counts: []int{2, 3, 5}, caller: "a", peers: map[string]int{"a": 7}, want: []float64{0.2, 0.3, 0.5}},
		"peers where none is":    {counts: []int{4, 4, 0}, caller: "a", peers: map[string]int{"a": 1, "b": 1, "c": 9}, want: []float64{1, 0, 0}},
		"weight is capacity":     {counts: []int{2, 4, 4}, weights: []int{4, 2, 2}, caller: "a", want: []float64{1, 0, 0}},
		"little weight here":     {counts: []int{4, 4, 4}, weights: []int{1, 4, 5}, caller: "a", want: []float64{0.3, 0.2, 0.5}},
		"too few in all":         {counts: []int{2, 2, 1}, caller: "a", want: []float64{0.4, 0.4, 0.2}},
		"six are enough":         {counts: []int{2, 2, 2}, caller: "a", want: []float64{1, 0, 0}},
		"too few here":           {counts: []int{1, 5, 4}, caller: "a", want: []float64{0.1, 0.5, 0.4}},
		"one is enough if told":  {counts: []int{1, 5, 4}, caller: "a", zones: balance.Zones{MinLocal: 1}, want: []float64{0.3, 0.7 * 50 / 70, 0.7 * 20 / 70}},
		"more are wanted":        {counts: []int{3, 3, 3}, caller: "a", zones: balance.Zones{MinEndpoints: 10}, want: []float64{1.0 / 3, 1.0 / 3, 1.0 / 3}},
		"no zone of one's own":   {counts: []int{4, 4, 4}, want: []float64{1.0 / 3, 1.0 / 3, 1.0 / 3}},
		"a zone without any":     {counts: []int{4, 4, 4}, caller: "d", want: []float64{1.0 / 3, 1.0 / 3, 1.0 / 3}},
		"off":                    {counts: []int{4, 4, 4}, caller: "a", zones: balance.Zones{Disabled: true}, want: []float64{1.0 / 3, 1.0 / 3, 1.0 / 3}},
		"one of four is ejected": {counts: []int{4, 4, 4}, caller: "a", change: ejectFirst(1), want: []float64{3.0 / 11 * 3, 1 / 11.0, 1 / 11.0}},
		"half of six are drained": {counts: []int{6, 6, 6}, caller: "a", change: drainFirst(3), want: []float64{
			3.0 / 15 * 3, 1 / 5.0, 1 / 5.0,
		}},
		"panic": {counts: []int{4, 4, 4}, caller: "a", change: ejectFirst(7), want: []float64{1.0 / 3, 1.0 / 3, 1.0 / 3}},
	} {
		t.Run(name, func(t *testing.T) {
			p := balance.Policy{Name: balance.Random, Zones: c.zones, SlowStart: -1, Ejection: balance.Ejection{MaxPercent: 100}}
			b := newBalancer(t, p, 0, balance.WithCaller(balance.Caller{Zone: c.caller}))
			b.SetPeers(balance.Peers{Zones: c.peers})
			b.Update(inZones(zones, c.counts, c.weights...))
			if c.change != nil {
				c.change(t, b)
			}
			got := map[string]float64{}
			for e, n := range calls(t, b, 100_000, cancelled) {
				got[e.Instance().Zone] += float64(n) / 100_000
			}
			for i, z := range zones {
				if math.Abs(got[z]-c.want[i]) > 0.01 {
					t.Errorf("zone %s gets %.3f of the calls, want %.3f", z, got[z], c.want[i])
				}
			}
		})
	}
}

// ejectFirst ejects the first n endpoints.
func ejectFirst(n int) func(*testing.T, *balance.Balancer) {
	return func(t *testing.T, b *balance.Balancer) {
		for b.Stats().Ejected < n { // those of one zone may hide the others
			failTogether(t, b, b.Endpoints()[:n])
		}
	}
}

// drainFirst drains the first n endpoints.
func drainFirst(n int) func(*testing.T, *balance.Balancer) {
	return func(_ *testing.T, b *balance.Balancer) {
		var list []discovery.Instance
		for i, e := range b.Endpoints() {
			in := e.Instance()
			if i < n {
				in.Weight = -1
			}
			list = append(list, in)
		}
		b.Update(list)
	}
}

// Calls leave the zone when nobody there is left to try.
func TestTriedZoneIsLeft(t *testing.T) {
	b := newBalancer(t, balance.Policy{}, 0, balance.WithCaller(balance.Caller{Zone: "a"}))
	b.Update(inZones([]string{"a", "b"}, []int{3, 3}))
	here, there := b.Endpoints()[:3], b.Endpoints()[3:]
	for range 1000 {
		e := pick(t, b, here[0], here[1])
		if e != here[2] {
			t.Fatalf("%s is picked, though one in the zone has not been tried", e.ID())
		}
		e.Done(cancelled)
		e = pick(t, b, here...)
		if e != there[0] && e != there[1] && e != there[2] {
			t.Fatalf("%s is picked again, though others have not been tried", e.ID())
		}
		e.Done(cancelled)
	}
}
