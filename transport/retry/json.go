package retry

import (
	"bytes"
	"encoding/json"
)

// unmarshalStrict reads b into v and refuses names that v does not have: a
// misspelt setting must not silently mean its default.
func unmarshalStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
