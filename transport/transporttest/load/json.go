package load

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
)

// loadJSON is the form of Load in JSON.
type loadJSON struct {
	Client  string              `json:"client,omitempty"`
	Service string              `json:"service,omitempty"`
	Method  string              `json:"method,omitempty"`
	Path    string              `json:"path,omitempty"`
	Body    string              `json:"body,omitempty"`
	Header  map[string]string   `json:"header,omitempty"`
	Kind    string              `json:"kind,omitempty"`
	Rate    float64             `json:"rate,omitempty"`
	To      float64             `json:"to,omitempty"`
	Burst   int                 `json:"burst,omitempty"`
	Every   duration.Duration   `json:"every,omitempty"`
	At      []duration.Duration `json:"at,omitempty"`
	File    string              `json:"file,omitempty"`
	Workers int                 `json:"workers,omitempty"`
	Think   dist.Dist           `json:"think,omitzero"`
	Start   duration.Duration   `json:"start,omitempty"`
	For     duration.Duration   `json:"for,omitempty"`
	Timeout duration.Duration   `json:"timeout,omitempty"`
}

func (l Load) json() loadJSON {
	return loadJSON{
		Client: l.Client, Service: l.Service, Method: l.Method, Path: l.Path, Body: l.Body, Header: maps.Clone(l.Header),
		Kind: l.Kind, Rate: l.Rate, To: l.To, Burst: l.Burst, Every: duration.Duration(l.Every),
		At: convert[duration.Duration](l.At), File: l.File, Workers: l.Workers, Think: l.Think,
		Start: duration.Duration(l.Start), For: duration.Duration(l.For), Timeout: duration.Duration(l.Timeout),
	}
}

// MarshalJSON writes the fields that are set.
func (l Load) MarshalJSON() ([]byte, error) { return json.Marshal(l.json()) }

// UnmarshalJSON reads what the object names and leaves the rest of l as it was,
// so that one document can be laid over another. After an error l is unchanged.
func (l *Load) UnmarshalJSON(b []byte) error {
	j := l.json()
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	*l = Load{
		Client: j.Client, Service: j.Service, Method: j.Method, Path: j.Path, Body: j.Body, Header: j.Header,
		Kind: j.Kind, Rate: j.Rate, To: j.To, Burst: j.Burst, Every: time.Duration(j.Every),
		At: convert[time.Duration](j.At), File: j.File, Workers: j.Workers, Think: j.Think,
		Start: time.Duration(j.Start), For: time.Duration(j.For), Timeout: time.Duration(j.Timeout),
	}
	return nil
}

// convert returns a copy of a in another type of durations.
func convert[To, From ~int64](a []From) []To {
	if a == nil {
		return nil
	}
	b := make([]To, len(a))
	for i, v := range a {
		b[i] = To(v)
	}
	return b
}
