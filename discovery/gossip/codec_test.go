package gossip

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/discovery"
)

func sample(n int) record {
	r := record{node: "node", version: version{epoch: 7, seq: 9}}
	for i := range n {
		r.instances = append(r.instances, announced{discovery.Instance{
			ID: fmt.Sprint("id", i), Service: "pricing", Addr: "127.0.0.1:80", Zone: "z", Version: "v", Weight: -3,
			Tags: []string{"a", "b"}, Meta: map[string]string{"k": "v"},
		}, discovery.Warning})
	}
	return r
}

func sameRecord(a, b record) bool {
	return a.node == b.node && a.version == b.version &&
		slices.EqualFunc(a.instances, b.instances, func(x, y announced) bool {
			return x.status == y.status && x.Equal(y.Instance)
		})
}

func TestCodecRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, maxInstances} {
		want := sample(n)
		got, err := decodeRecord(encodeRecord(want)[1:])
		if err != nil || !sameRecord(got, want) {
			t.Errorf("%d instances: got %+v, %v", n, got, err)
		}
	}
	hint, err := decodeHint(encodeHint(sample(3))[1:])
	if err != nil || hint.node != "node" || hint.version != (version{7, 9}) {
		t.Errorf("hint: got %+v, %v", hint, err)
	}
	state, err := decodeState(encodeState([]record{sample(2), sample(0)}))
	if err != nil || len(state) != 2 || !sameRecord(state[0], sample(2)) {
		t.Errorf("state: got %+v, %v", state, err)
	}
}

// TestCodecRefuses spoils one thing at a time in what would be a good record.
func TestCodecRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*record){
		"no node":            func(r *record) { r.node = "" },
		"long node":          func(r *record) { r.node = strings.Repeat("n", maxText+1) },
		"epoch":              func(r *record) { r.epoch = maxEpoch + 1 },
		"service":            func(r *record) { r.instances[0].Service = "a/b" },
		"wildcard":           func(r *record) { r.instances[0].Addr = "0.0.0.0:80" },
		"control characters": func(r *record) { r.instances[0].Addr = "a\nb:80" },
		"no ID":              func(r *record) { r.instances[0].ID = "" },
		"same ID":            func(r *record) { r.instances[1].ID = r.instances[0].ID },
		"status":             func(r *record) { r.instances[0].status = 3 },
		"negative status":    func(r *record) { r.instances[0].status = -1 },
		"weight":             func(r *record) { r.instances[0].Weight = maxWeight + 1 },
		"long tag":           func(r *record) { r.instances[0].Tags[0] = strings.Repeat("t", maxText+1) },
		"many tags":          func(r *record) { r.instances[0].Tags = make([]string, maxTags+1) },
		"long value":         func(r *record) { r.instances[0].Meta["k"] = strings.Repeat("v", maxValue+1) },
		"too big":            func(r *record) { r.instances[0].Meta = bigMeta(5, maxValue) },
		"many instances":     func(r *record) { *r = sample(maxInstances + 1) },
	} {
		r := sample(2)
		spoil(&r)
		if got, err := decodeRecord(encodeRecord(r)[1:]); err == nil {
			t.Errorf("%s: accepted %+v", name, got)
		}
	}
	whole := encodeRecord(sample(2))[1:]
	for i := range whole {
		if _, err := decodeRecord(whole[:i]); err == nil {
			t.Errorf("accepted the first %d of %d bytes", i, len(whole))
		}
	}
	if _, err := decodeRecord(append(whole, 0)); err == nil {
		t.Error("accepted a byte too many")
	}
}

func bigMeta(n, size int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint(i)] = strings.Repeat("v", size)
	}
	return m
}

// FuzzDecode has strangers send anything: what is accepted must be valid, and
// must read the same again after it was sent on.
func FuzzDecode(f *testing.F) {
	f.Add(encodeRecord(sample(2))[1:])
	f.Add(encodeState([]record{sample(1), sample(0)}))
	f.Add(encodeHint(sample(0))[1:])
	f.Add([]byte{kindState, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeHint(b)
		if records, err := decodeState(b); err == nil && len(records) > maxRecords {
			t.Errorf("%d records", len(records))
		}
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		for _, in := range r.instances {
			if err := in.Validate(); err != nil {
				t.Errorf("accepted %+v: %v", in, err)
			}
		}
		again, err := decodeRecord(encodeRecord(r)[1:])
		if err != nil || !sameRecord(r, again) {
			t.Errorf("read %+v, then %+v, %v", r, again, err)
		}
	})
}

// FuzzGuard has strangers send anything to the ports of a cluster without a
// key. Nothing may panic, and nothing nested may pass.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{wireLabel, 1, 'x', wireCRC, 0, 0, 0, 0, wireCompound, 1, 0, 1, wireCompress})
	f.Add([]byte{wireCompound, 2, 0, 1, 0, 1, 3, 4})
	f.Add(pushPull(6))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = checkStream(bytes.NewReader(b))
		if packetAllowed(b) && len(b) > 0 && b[0] == wireCompress {
			t.Errorf("a compressed message passed: %x", b)
		}
	})
}
