package sim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/transport/transporttest/sim"
)

// A run that was written down and read again is the same run.
func TestJSON(t *testing.T) {
	c := everything(1)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var again sim.Config
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if twice, err := json.Marshal(again); err != nil || string(twice) != string(text) {
		t.Fatalf("%v\n%s\nbecame\n%s", err, text, twice)
	}
	if a, b := trace(t, mustRun(t, c, sim.WithRecords(true))), trace(t, mustRun(t, again, sim.WithRecords(true))); a != b {
		t.Errorf("the runs differ: %s", difference(a, b))
	}
}

func TestJSONIsStrict(t *testing.T) {
	for _, text := range []string{
		`{"rate": 1}`, `{"for": 5}`, `{"clients": [{"nam": "c"}]}`, `{"servers": [{"time": "5"}]}`,
		`{"changes": [{"kind": "down", "until": "5s"}]}`, `{"lists": {"each": "5s"}}`, `{"load": [{"who": "c"}]}`,
	} {
		var c sim.Config
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), "sim: ") && !strings.Contains(err.Error(), "load: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
