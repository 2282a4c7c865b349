package balance_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/transport/balance"
)

// The settings of each policy are read and written.
func TestPolicySettingsJSON(t *testing.T) {
	const doc = `{"policy":"maglev",` +
		`"weighted":{"blackout":"5s","expiration":"1m0s","update":"2s","error_penalty":0.5},` +
		`"prequal":{"pool":8,"max_age":"500ms","quantile":0.9,"probes":2},` +
		`"hash":{"by":[{"header":"User"},{"cookie":"session"}],"load_factor":1.25,"min_points":100,"max_points":1000,"slots":1009}}`
	want := balance.Policy{
		Name:     balance.Maglev,
		Weighted: balance.Weighted{Blackout: 5 * time.Second, Expiration: time.Minute, Update: 2 * time.Second, ErrorPenalty: 0.5},
		Prequal:  balance.PrequalSettings{Pool: 8, MaxAge: 500 * ms, Quantile: 0.9, Probes: 2},
		Hash: balance.Hash{
			By:         []balance.Source{{Header: "User"}, {Cookie: "session"}},
			LoadFactor: 1.25, MinPoints: 100, MaxPoints: 1000, Slots: 1009,
		},
	}
	var p balance.Policy
	if err := json.Unmarshal([]byte(doc), &p); err != nil || !reflect.DeepEqual(p, want) {
		t.Fatalf("read %+v, %v; want %+v", p, err, want)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	if got := p.WithDefaults(); !reflect.DeepEqual(got.Weighted, p.Weighted) || got.Prequal != p.Prequal || !reflect.DeepEqual(got.Hash, p.Hash) {
		t.Errorf("defaults change what is set: %+v", got)
	}
	out, err := json.Marshal(p)
	if err != nil || string(out) != doc {
		t.Errorf("written as %s, %v", out, err)
	}
	for _, bad := range []string{`{"weighted":{"update":1}}`, `{"prequal":{"pol":1}}`, `{"hash":{"by":[{"path":"x"}]}}`} {
		if err := json.Unmarshal([]byte(bad), &p); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

// An unknown policy is told which there are.
func TestPolicyNames(t *testing.T) {
	err := balance.Policy{Name: "best"}.Validate()
	for _, name := range policies {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
		if err := (balance.Policy{Name: name}).Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestWeightedValidate(t *testing.T) {
	for _, w := range []balance.Weighted{{Expiration: -1}, {Update: -1}, {Update: ms}} {
		if err := (balance.Policy{Weighted: w}).Validate(); err == nil {
			t.Errorf("%+v is valid", w)
		}
	}
	if err := (balance.Policy{Weighted: balance.Weighted{Blackout: -1, ErrorPenalty: -1}}).Validate(); err != nil {
		t.Error(err)
	}
}
