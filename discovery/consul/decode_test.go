package consul

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery"
)

func TestDecode(t *testing.T) {
	node := `"Node":{"Node":"n1","Address":"10.0.0.9"}`
	for name, tt := range map[string]struct {
		entries string
		want    []discovery.Instance
		skipped int
	}{
		"service address": {
			entries: `[{` + node + `,"Service":{"ID":"a","Address":"10.0.0.1","Port":80}}]`,
			want:    []discovery.Instance{{ID: "a", Addr: "10.0.0.1:80"}},
		},
		"node address": {
			entries: `[{` + node + `,"Service":{"ID":"a","Port":80}}]`,
			want:    []discovery.Instance{{ID: "a", Addr: "10.0.0.9:80"}},
		},
		"IPv6": {
			entries: `[{` + node + `,"Service":{"ID":"a","Address":"::1","Port":80}}]`,
			want:    []discovery.Instance{{ID: "a", Addr: "[::1]:80"}},
		},
		"host name": {
			entries: `[{` + node + `,"Service":{"ID":"a","Address":"db-1.internal","Port":80}}]`,
			want:    []discovery.Instance{{ID: "a", Addr: "db-1.internal:80"}},
		},
		"several ports": {
			entries: `[{` + node + `,"Service":{"ID":"a","Ports":[{"Name":"x","Port":1},{"Name":"y","Port":2,"Default":true}]}}]`,
			want:    []discovery.Instance{{ID: "a", Addr: "10.0.0.9:2"}},
		},
		"fields": {
			entries: `[{` + node + `,"Service":{"ID":"a","Port":80,"Tags":["x","y"],"Weights":{"Passing":7,"Warning":1},
				"Meta":{"zone":"z","version":"v","admin":"1.2.3.4:5"}}}]`,
			want: []discovery.Instance{{ID: "a", Addr: "10.0.0.9:80", Zone: "z", Version: "v", Weight: 7,
				Tags: []string{"x", "y"}, Meta: map[string]string{"admin": "1.2.3.4:5"}}},
		},
		"locality": {
			entries: `[{"Node":{"Node":"n","Address":"10.0.0.9","Locality":{"Zone":"zn"}},"Service":{"ID":"a","Port":1}},
				{` + node + `,"Service":{"ID":"b","Port":1,"Locality":{"Zone":"zs"}}}]`,
			want: []discovery.Instance{{ID: "a", Addr: "10.0.0.9:1", Zone: "zn"}, {ID: "b", Addr: "10.0.0.9:1", Zone: "zs"}},
		},
		"default and own weights": {
			entries: `[{` + node + `,"Service":{"ID":"a","Port":1,"Weights":{"Passing":1,"Warning":1}}},
				{` + node + `,"Service":{"ID":"b","Port":1,"Meta":{"gabion-weight":"-1"},"Weights":{"Passing":1}}},
				{` + node + `,"Service":{"ID":"c","Port":1,"Meta":{"gabion-weight":"heavy"},"Weights":{"Passing":3}}},
				{` + node + `,"Service":{"ID":"d","Port":1,"Meta":{"gabion-weight":"0"},"Weights":{"Passing":3}}}]`,
			want: []discovery.Instance{{ID: "a", Addr: "10.0.0.9:1"}, {ID: "b", Addr: "10.0.0.9:1", Weight: -1}, {ID: "c", Addr: "10.0.0.9:1", Weight: 3},
				{ID: "d", Addr: "10.0.0.9:1", Weight: -1}},
		},
		"warning weights": {
			entries: `[{` + node + `,"Service":{"ID":"a","Port":1,"Weights":{"Passing":9,"Warning":3}},"Checks":[{"Status":"warning"}]},
				{` + node + `,"Service":{"ID":"b","Port":1,"Weights":{"Passing":9,"Warning":0}},"Checks":[{"Status":"warning"}]}]`,
			want: []discovery.Instance{{ID: "a", Addr: "10.0.0.9:1", Weight: 3}, {ID: "b", Addr: "10.0.0.9:1", Weight: -1}},
		},
		"sorted": {
			entries: `[{` + node + `,"Service":{"ID":"b","Port":1}},{` + node + `,"Service":{"ID":"a","Port":2}}]`,
			want:    []discovery.Instance{{ID: "a", Addr: "10.0.0.9:2"}, {ID: "b", Addr: "10.0.0.9:1"}},
		},
		"the same ID on two nodes": {
			entries: `[{"Node":{"Node":"n2","Address":"10.0.0.2"},"Service":{"ID":"a","Port":1}},
				{"Node":{"Node":"n1","Address":"10.0.0.1"},"Service":{"ID":"a","Port":1}},{` + node + `,"Service":{"ID":"b","Port":1}}]`,
			want: []discovery.Instance{{ID: "b", Addr: "10.0.0.9:1"}, {ID: "n1/a", Addr: "10.0.0.1:1"}, {ID: "n2/a", Addr: "10.0.0.2:1"}},
		},
		"health": {
			entries: `[{` + node + `,"Service":{"ID":"ok","Port":1},"Checks":[{"Status":"passing"},{"Status":"passing"}]},
				{` + node + `,"Service":{"ID":"warn","Port":1},"Checks":[{"Status":"passing"},{"Status":"warning"}]},
				{` + node + `,"Service":{"ID":"sick node","Port":1},"Checks":[{"CheckID":"serfHealth","Status":"critical"},{"Status":"passing"}]},
				{` + node + `,"Service":{"ID":"sick","Port":1},"Checks":[{"Status":"passing"},{"Status":"critical"}]},
				{` + node + `,"Service":{"ID":"maintenance","Port":1},"Checks":[{"CheckID":"_node_maintenance","Status":"critical"}]},
				{` + node + `,"Service":{"ID":"odd","Port":1},"Checks":[{"Status":"unheard of"}]}]`,
			want: []discovery.Instance{{ID: "ok", Addr: "10.0.0.9:1"}, {ID: "warn", Addr: "10.0.0.9:1"}},
		},
		"unusable": {
			entries: `[null,{},{"Service":{"ID":"a","Port":1}},{` + node + `,"Service":{"ID":"b"}},{` + node + `,"Service":{"ID":"c","Port":70000}},
				{` + node + `,"Service":{"ID":"d","Port":-1}},{` + node + `,"Service":{"ID":"e","Address":"0.0.0.0","Port":1}},
				{` + node + `,"Service":{"ID":"f","Address":"::","Port":1}},{` + node + `,"Service":{"ID":"g","Address":"10.0.0.1:80","Port":1}},
				{` + node + `,"Service":{"ID":"h","Address":"a b","Port":1}},{` + node + `,"Service":{"ID":"i","Address":"a/b","Port":1}},
				{` + node + `,"Service":{"Port":1}},{` + node + `,"Service":{"ID":"z","Port":1}}]`,
			want:    []discovery.Instance{{ID: "z", Addr: "10.0.0.9:1"}},
			skipped: 11, // the first two have no name to tell them apart
		},
		"none": {entries: `[]`},
	} {
		t.Run(name, func(t *testing.T) {
			var entries []*api.ServiceEntry
			if err := json.Unmarshal([]byte(tt.entries), &entries); err != nil {
				t.Fatal(err)
			}
			for i := range tt.want {
				tt.want[i].Service = "web"
			}
			got, skipped := decode("web", entries, false)
			if got == nil || !slices.EqualFunc(got, tt.want, discovery.Instance.Equal) {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
			if len(skipped) != tt.skipped {
				t.Errorf("skipped %v, want %d", skipped, tt.skipped)
			}
		})
	}
}

func TestDecodeOnlyPassing(t *testing.T) {
	e := &api.ServiceEntry{Node: &api.Node{Address: "10.0.0.1"}, Service: &api.AgentService{ID: "a", Port: 1}, Checks: api.HealthChecks{{Status: "warning"}}}
	if got, _ := decode("web", []*api.ServiceEntry{e}, true); len(got) != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
}

// What is registered is what is found.
func TestPayloadRoundTrip(t *testing.T) {
	b, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, in := range []discovery.Instance{
		{ID: "a", Service: "web", Addr: "10.0.0.1:80"},
		{ID: "a", Service: "web", Addr: "[fe80::1]:80", Zone: "z", Version: "v", Weight: 9, Tags: []string{"t"}, Meta: map[string]string{"k": "v"}},
		{ID: "a", Service: "web", Addr: "host.test:80", Weight: 1},
		{ID: "a", Service: "web", Addr: "10.0.0.1:80", Weight: -3},
		{ID: "a", Service: "web", Addr: "10.0.0.1:80", Weight: 100000},
	} {
		for _, status := range []discovery.Status{discovery.Passing, discovery.Warning} {
			p, err := b.payload(in, status)
			if err != nil {
				t.Fatal(err)
			}
			got, skipped := decode("web", []*api.ServiceEntry{{
				Node: &api.Node{Node: "n", Address: "192.0.2.1"},
				Service: &api.AgentService{ID: p.ID, Service: p.Name, Address: p.Address, Port: p.Port,
					Tags: p.Tags, Meta: p.Meta, Weights: *p.Weights},
				Checks: api.HealthChecks{{Status: p.Check.Status}},
			}}, false)
			if len(got) != 1 || !got[0].Equal(in) {
				t.Errorf("got %+v, skipped %v\nwant %+v", got, skipped, in)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`[{"Node":{"Node":"n1","Address":"10.0.0.9"},"Service":{"ID":"a","Address":"::1","Port":80,"Meta":{"zone":"z"}},"Checks":[{"Status":"passing"}]}]`)
	f.Add(`[null,{},{"Service":{"ID":"a","Ports":[{"Port":1}]}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		var entries []*api.ServiceEntry
		if json.NewDecoder(strings.NewReader(text)).Decode(&entries) != nil {
			return
		}
		list, skipped := decode("web", entries, false)
		if len(list)+len(skipped) > len(entries) {
			t.Errorf("%d instances and %d skipped from %d entries", len(list), len(skipped), len(entries))
		}
		for _, in := range list {
			if err := in.Validate(); err != nil {
				t.Errorf("instance %+v: %v", in, err)
			}
		}
		if !slices.IsSortedFunc(list, func(a, b discovery.Instance) int { return strings.Compare(a.ID, b.ID) }) {
			t.Errorf("not sorted: %+v", list)
		}
	})
}
