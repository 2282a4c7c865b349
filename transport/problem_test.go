package transport_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/gabion-go/gabion/transport"
)

// A status that is none, in a problem that somebody else wrote, is left out like
// a member of the wrong type: to answer with it would be a panic.
func TestProblemStatus(t *testing.T) {
	for in, want := range map[string]int{
		`404`: 404, `100`: 100, `599`: 599, `4.04e2`: 404,
		`99`: 0, `600`: 0, `0`: 0, `-404`: 0, `404.5`: 0, `1e300`: 0, `"404"`: 0, `null`: 0, `[404]`: 0,
	} {
		var p transport.Problem
		if err := json.Unmarshal([]byte(`{"status":`+in+`}`), &p); err != nil || p.Status != want || p.Extra != nil {
			t.Errorf("status %s is read as %+v, %v; want %d", in, p, err, want)
		}
	}
}

// Whatever somebody else wrote, what is read of it can be answered with, and says
// the same when it is read again.
func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"type":"https://shop.example/problems/stock","title":"Out of stock","status":409,"detail":"none left","sku":["a",1]}`))
	f.Add([]byte(`{"status":"404","title":7,"type":null,"Status":1e300,"":{}}`))
	f.Add([]byte(`{"status":1e300}`))
	f.Add([]byte(`null`))
	f.Add([]byte("{\"title\":\"\xff\\ud800\",\"status\":42}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p transport.Problem
		if json.Unmarshal(data, &p) != nil {
			return
		}
		w := httptest.NewRecorder()
		transport.WriteProblem(w, nil, p)
		once := bytes.TrimSpace(w.Body.Bytes())
		var q transport.Problem
		if err := json.Unmarshal(once, &q); err != nil || q.Status != w.Code {
			t.Fatalf("%s: answered %d with %s, read as %+v, %v", data, w.Code, once, q, err)
		}
		var before, after map[string]any
		_, _ = json.Unmarshal(data, &before), json.Unmarshal(once, &after)
		for name, v := range before {
			s, text := v.(string)
			switch name {
			case "type", "title", "detail":
				if !text || s == "" {
					continue // not what it should be
				}
			case "status":
				continue
			}
			if !reflect.DeepEqual(after[name], v) {
				t.Fatalf("%s: %q is answered as %v", data, name, after[name])
			}
		}
		if again, err := json.Marshal(q); err != nil || !bytes.Equal(again, once) {
			t.Fatalf("%s: written as %s, then as %s, %v", data, once, again, err)
		}
	})
}
