package balance

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// The formula of gRFC A58. Where it rejects a negative penalty, ours is none.
func TestReportedWeight(t *testing.T) {
	for name, test := range map[string]struct {
		load    Load
		penalty float64
		want    float64
	}{
		"qps by utilization":  {Load{QPS: 100, Utilization: 0.5}, 1, 200},
		"above all":           {Load{QPS: 100, Utilization: 2}, 1, 50},
		"failures cost":       {Load{QPS: 100, Utilization: 0.5, EPS: 50}, 1, 100},
		"failures cost twice": {Load{QPS: 100, Utilization: 0.5, EPS: 50}, 2, 100 / 1.5},
		"no penalty":          {Load{QPS: 100, Utilization: 0.5, EPS: 50}, -1, 200},
		"no qps":              {Load{Utilization: 0.5}, 1, 0},
		"no utilization":      {Load{QPS: 100, EPS: 50}, 1, 0},
		"negative":            {Load{QPS: -100, Utilization: -0.5}, 1, 0},
		"not a number":        {Load{QPS: math.NaN(), Utilization: 0.5}, 1, 0},
		"too much":            {Load{QPS: math.Inf(1), Utilization: 0.5}, 1, 0},
		"beyond numbers":      {Load{QPS: 1e300, Utilization: 1e-300}, 1, 0},
		"negative failures":   {Load{QPS: 100, Utilization: 0.5, EPS: -50}, 1, 200},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reportedWeight(test.load, test.penalty); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// GetWeight of gRFC A58, which also begins a blackout when a connection is made
// anew. Ours does not: an endpoint that comes back starts slowly.
func TestServedWeight(t *testing.T) {
	const sec = int64(time.Second)
	for name, test := range map[string]struct {
		reports []int64 // when
		at      int64
		want    float64
	}{
		"never reported":           {nil, 100 * sec, 0},
		"in the blackout":          {[]int64{1 * sec}, 11*sec - 1, 0},
		"after the blackout":       {[]int64{1 * sec}, 11 * sec, 200},
		"since the first report":   {[]int64{1 * sec, 10 * sec}, 11 * sec, 200},
		"just fresh":               {[]int64{1 * sec}, 181*sec - 1, 200},
		"expired":                  {[]int64{1 * sec}, 181 * sec, 0},
		"kept fresh":               {[]int64{1 * sec, 100 * sec}, 279 * sec, 200},
		"blackout after expiry":    {[]int64{1 * sec, 300 * sec}, 309 * sec, 0},
		"used again":               {[]int64{1 * sec, 300 * sec}, 310 * sec, 200},
		"in the blackout, and old": {[]int64{1 * sec}, 500 * sec, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := Policy{}.WithDefaults().Weighted
			var s served
			for _, now := range test.reports {
				s.weight(now, &p) // as by an update shortly before
				s.report(now, Load{QPS: 100, Utilization: 0.5}, p.ErrorPenalty)
			}
			if got := s.weight(test.at, &p); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	p := Weighted{Blackout: -1, Expiration: time.Minute}
	var s served
	s.report(1, Load{QPS: 1, Utilization: 1}, 0)
	if got := s.weight(1, &p); got != 1 {
		t.Errorf("without a blackout the weight is %v at once, want 1", got)
	}
}

// The cases of gRPC's static_stride_scheduler_test.cc that are about weights.
func TestFillIn(t *testing.T) {
	clamped := slices.Repeat([]float64{1}, 20)
	clamped[0] = 81
	for _, test := range []struct {
		weights []float64
		turns   int
		want    []int // nil: round robin
	}{
		{nil, 0, nil},
		{[]float64{0}, 0, nil},
		{[]float64{0, 0, 0, 0}, 0, nil},
		{[]float64{1}, 0, nil},
		{[]float64{0, 7, 0}, 0, nil},
		{[]float64{1, 2, 3}, 6, []int{1, 2, 3}},
		{[]float64{3, 0, 1}, 6, []int{3, 2, 1}},
		{[]float64{300, 300, 0}, 3, []int{1, 1, 1}},
		{clamped, 69, append([]int{50}, slices.Repeat([]int{1}, 19)...)},
		{clamped, 690, append([]int{500}, slices.Repeat([]int{10}, 19)...)},
		{[]float64{100, 1e-10}, 201, []int{200, 1}},
	} {
		t.Run(fmt.Sprint(test.weights), func(t *testing.T) {
			weights := slices.Clone(test.weights)
			if !fillIn(weights) {
				if test.want != nil {
					t.Error("too little is known")
				}
				return
			}
			if got := strided(newStrides(weights), test.turns); !slices.Equal(got, test.want) {
				t.Errorf("%d turns go to %v, want %v", test.turns, got, test.want)
			}
		})
	}
}
