package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gabion-go/gabion/discovery"
)

// What one node may say. Messages beyond it are dropped, and Register refuses
// an instance that would need them.
const (
	maxText      = 256       // bytes of an ID, zone, version, tag, or key of Meta
	maxValue     = 4 << 10   // bytes of a value of Meta
	maxTags      = 64        // of an instance
	maxMeta      = 64        // of an instance
	maxInstances = 256       // of a node
	maxInstance  = 16 << 10  // bytes of an encoded instance
	maxRecords   = 16 << 10  // of a state
	maxEpoch     = 1<<62 - 1 // leaves room to outdo it
)

// The first byte of each message. A message of another kind is dropped, so
// that later versions can add some.
const (
	kindRecord byte = 1 // a record
	kindHint   byte = 2 // name and version of a record that is too big to send
	kindState  byte = 3 // all records that a node knows
)

// A version orders what one node says: by epoch, the start of its process in
// nanoseconds of Unix time, then by number.
type version struct{ epoch, seq uint64 }

func (v version) newerThan(o version) bool {
	return v.epoch > o.epoch || v.epoch == o.epoch && v.seq > o.seq
}

// A record is all that one node announces. The newest replaces what was.
type record struct {
	node string
	version
	instances []announced
}

// An announced instance comes with the status that its process gave it.
type announced struct {
	discovery.Instance
	status discovery.Status
}

// encodeRecord returns the message with all of r.
func encodeRecord(r record) []byte { return appendRecord([]byte{kindRecord}, r) }

// encodeHint returns the message that r is there and must be fetched.
func encodeHint(r record) []byte { return appendHead([]byte{kindHint}, r) }

// encodeState returns the message with all of records.
func encodeState(records []record) []byte {
	b := binary.AppendUvarint([]byte{kindState}, uint64(len(records)))
	for _, r := range records {
		b = appendRecord(b, r)
	}
	return b
}

func appendHead(b []byte, r record) []byte {
	b = appendText(b, r.node)
	b = binary.AppendUvarint(b, r.epoch)
	return binary.AppendUvarint(b, r.seq)
}

func appendRecord(b []byte, r record) []byte {
	b = appendHead(b, r)
	b = binary.AppendUvarint(b, uint64(len(r.instances)))
	for _, in := range r.instances {
		b = appendInstance(b, in)
	}
	return b
}

func appendInstance(b []byte, in announced) []byte {
	for _, s := range []string{in.ID, in.Service, in.Addr, in.Zone, in.Version} {
		b = appendText(b, s)
	}
	b = binary.AppendVarint(b, int64(in.Weight))
	b = append(b, byte(in.status))
	b = binary.AppendUvarint(b, uint64(len(in.Tags)))
	for _, t := range in.Tags {
		b = appendText(b, t)
	}
	b = binary.AppendUvarint(b, uint64(len(in.Meta)))
	for k, v := range in.Meta {
		b = appendText(appendText(b, k), v)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// errMalformed covers all that a well-behaved node never sends.
var errMalformed = errors.New("malformed message")

// A decoder takes values off the front of a message. After the first error
// every value is zero.
type decoder struct {
	rest []byte
	err  error
}

// decodeRecord reads the body of a message of kindRecord.
func decodeRecord(b []byte) (record, error) {
	d := decoder{rest: b}
	r := d.record()
	return r, d.finish()
}

// decodeHint reads the body of a message of kindHint; the record is empty.
func decodeHint(b []byte) (record, error) {
	d := decoder{rest: b}
	r := d.head()
	return r, d.finish()
}

// decodeState reads a whole message of kindState.
func decodeState(b []byte) ([]record, error) {
	if len(b) == 0 || b[0] != kindState {
		return nil, errMalformed
	}
	d := decoder{rest: b[1:]}
	n := d.count(maxRecords)
	var records []record
	for range n {
		if d.err != nil {
			break
		}
		records = append(records, d.record())
	}
	return records, d.finish()
}

// finish returns the first error; bytes left over are one.
func (d *decoder) finish() error {
	if d.err == nil && len(d.rest) > 0 {
		d.err = errMalformed
	}
	return d.err
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = nil
}

func (d *decoder) head() record {
	r := record{node: d.text(maxText), version: version{d.uvarint(), d.uvarint()}}
	if r.node == "" || r.epoch > maxEpoch {
		d.fail(errMalformed)
	}
	return r
}

func (d *decoder) record() record {
	r := d.head()
	n := d.count(maxInstances)
	seen := map[string]bool{}
	for range n {
		in := d.instance()
		if d.err == nil && seen[in.ID] {
			d.fail(fmt.Errorf("instance %q twice", in.ID))
		}
		if d.err != nil {
			return record{}
		}
		seen[in.ID] = true
		r.instances = append(r.instances, in)
	}
	return r
}

func (d *decoder) instance() announced {
	before := len(d.rest)
	var in announced
	in.ID, in.Service, in.Addr = d.text(maxText), d.text(maxText), d.text(2*maxText)
	in.Zone, in.Version = d.text(maxText), d.text(maxText)
	in.Weight = d.weight()
	in.status = d.status()
	for range d.count(maxTags) {
		in.Tags = append(in.Tags, d.text(maxText))
	}
	if n := d.count(maxMeta); n > 0 {
		in.Meta = make(map[string]string, n)
		for range n {
			k := d.text(maxText)
			in.Meta[k] = d.text(maxValue)
		}
	}
	if before-len(d.rest) > maxInstance {
		d.fail(fmt.Errorf("instance of more than %d bytes", maxInstance))
	}
	if d.err == nil {
		if err := in.Validate(); err != nil {
			d.fail(err)
		}
	}
	return in
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail(errMalformed)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads a length of at most limit.
func (d *decoder) count(limit uint64) int {
	n := d.uvarint()
	if n > limit {
		d.fail(fmt.Errorf("%d things where %d may be", n, limit))
		return 0
	}
	return int(n)
}

func (d *decoder) text(limit uint64) string {
	n := d.count(limit)
	if n > len(d.rest) {
		d.fail(errMalformed)
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

// weight reads a weight; one beyond a million is no weight.
func (d *decoder) weight() int {
	v, n := binary.Varint(d.rest)
	if n <= 0 || v > maxWeight || v < -maxWeight {
		d.fail(errMalformed)
		return 0
	}
	d.rest = d.rest[n:]
	return int(v)
}

const maxWeight = 1_000_000

func (d *decoder) status() discovery.Status {
	if len(d.rest) == 0 || d.rest[0] > byte(discovery.Passing) {
		d.fail(errMalformed)
		return discovery.Critical
	}
	s := discovery.Status(d.rest[0])
	d.rest = d.rest[1:]
	return s
}

// sendable reports why an instance cannot be announced: what the peers would
// drop is refused here.
func sendable(in discovery.Instance) error {
	b := appendInstance(nil, announced{Instance: in})
	d := decoder{rest: b}
	d.instance()
	if err := d.finish(); err != nil {
		return fmt.Errorf("too much to say for gossip: %w", err)
	}
	return nil
}
