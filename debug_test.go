package gabion_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/internal/leaktest"
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
