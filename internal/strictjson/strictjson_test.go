package strictjson_test

import (
	"testing"

	"github.com/gabion-go/gabion/internal/strictjson"
)

func TestUnmarshal(t *testing.T) {
	v := struct {
		Attempts int `json:"attempts"`
		Base     int `json:"base"`
	}{Base: 7}
	if err := strictjson.Unmarshal([]byte(`{"attempts":3}`), &v); err != nil || v.Attempts != 3 || v.Base != 7 {
		t.Errorf("got %+v, %v", v, err)
	}
	for _, bad := range []string{`{"attempt":3}`, `{"attempts":"3"}`, `[3]`, ``} {
		if err := strictjson.Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}
