package hashring_test

import (
	"encoding/json"
	"testing"

	"github.com/gabion-go/gabion/transport/balance/hashring"
)

func TestDefaults(t *testing.T) {
	want := hashring.Settings{Kind: hashring.Ring, MinPoints: 1024, MaxPoints: 1 << 20, Slots: 65537}
	if got := (hashring.Settings{}).WithDefaults(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, s := range []hashring.Settings{{}, {MinPoints: 1 << 21}, {MaxPoints: 10}, {Slots: 2}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestSettingsInJSON(t *testing.T) {
	want := hashring.Settings{Kind: hashring.Maglev, MinPoints: 1, MaxPoints: 2, Slots: 1021}
	var got hashring.Settings
	text := `{"kind":"maglev","min_points":1,"max_points":2,"slots":1021}`
	if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if b, err := json.Marshal(got); err != nil || string(b) != text {
		t.Errorf("got %s, %v, want %s", b, err, text)
	}
	if b, err := json.Marshal(hashring.Settings{}); err != nil || string(b) != "{}" {
		t.Errorf("got %s, %v for what is not set", b, err)
	}
}
