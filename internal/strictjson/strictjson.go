// Package strictjson reads settings from JSON.
package strictjson

import (
	"bytes"
	"encoding/json"
)

// Unmarshal is json.Unmarshal for settings: a name that v does not have is an
// error, because a setting that is misspelt must not be its default in silence.
func Unmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}
