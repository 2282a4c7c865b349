package sim

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
	"github.com/gabion-go/gabion/internal/strictjson"
	"github.com/gabion-go/gabion/transport/transporttest/dist"
	"github.com/gabion-go/gabion/transport/transporttest/load"
)

// configJSON is the form of Config in JSON.
type configJSON struct {
	Name    string            `json:"name,omitzero"`
	Seed    uint64            `json:"seed,string,omitzero"`
	For     duration.Duration `json:"for,omitzero"`
	Clients []Clients         `json:"clients,omitzero"`
	Servers []Servers         `json:"servers,omitzero"`
	Load    []load.Load       `json:"load,omitzero"`
	Changes []Change          `json:"changes,omitzero"`
	Network dist.Dist         `json:"network,omitzero"`
	Lists   Lists             `json:"lists,omitzero"`
	Events  bool              `json:"events,omitzero"`
}

func (c Config) json() configJSON {
	return configJSON{
		c.Name, c.Seed, duration.Duration(c.For), c.Clients, c.Servers, c.Load, c.Changes, c.Network, c.Lists, c.Events,
	}
}

// MarshalJSON writes the fields that are set. The seed is a string, as not
// every reader of JSON knows integers of 64 bits.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.json()) }

// UnmarshalJSON reads what the object names and leaves the rest of c as it was.
// It does not validate.
func (c *Config) UnmarshalJSON(b []byte) error {
	j := c.json()
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("sim: config: %w", err)
	}
	*c = Config{
		j.Name, j.Seed, time.Duration(j.For), j.Clients, j.Servers, j.Load, j.Changes, j.Network, j.Lists, j.Events,
	}
	return nil
}

type listsJSON struct {
	Delay dist.Dist         `json:"delay,omitzero"`
	Every duration.Duration `json:"every,omitzero"`
}

// MarshalJSON writes the fields that are set.
func (l Lists) MarshalJSON() ([]byte, error) {
	return json.Marshal(listsJSON{l.Delay, duration.Duration(l.Every)})
}

// UnmarshalJSON reads what the object names and leaves the rest of l as it was.
func (l *Lists) UnmarshalJSON(b []byte) error {
	j := listsJSON{l.Delay, duration.Duration(l.Every)}
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("sim: lists: %w", err)
	}
	*l = Lists{j.Delay, time.Duration(j.Every)}
	return nil
}

type changeJSON struct {
	Kind    string            `json:"kind,omitzero"`
	At      duration.Duration `json:"at,omitzero"`
	For     duration.Duration `json:"for,omitzero"`
	Service string            `json:"service,omitzero"`
	Servers string            `json:"servers,omitzero"`
	First   int               `json:"first,omitzero"`
	Count   int               `json:"count,omitzero"`
	Factor  float64           `json:"factor,omitzero"`
	Share   float64           `json:"share,omitzero"`
	Status  int               `json:"status,omitzero"`
	Every   duration.Duration `json:"every,omitzero"`
	Away    dist.Dist         `json:"away,omitzero"`
}

func (h Change) json() changeJSON {
	return changeJSON{
		h.Kind, duration.Duration(h.At), duration.Duration(h.For), h.Service, h.Servers, h.First, h.Count,
		h.Factor, h.Share, h.Status, duration.Duration(h.Every), h.Away,
	}
}

// MarshalJSON writes the fields that are set.
func (h Change) MarshalJSON() ([]byte, error) { return json.Marshal(h.json()) }

// UnmarshalJSON reads what the object names and leaves the rest of h as it was.
func (h *Change) UnmarshalJSON(b []byte) error {
	j := h.json()
	if err := strictjson.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("sim: change: %w", err)
	}
	*h = Change{
		j.Kind, time.Duration(j.At), time.Duration(j.For), j.Service, j.Servers, j.First, j.Count,
		j.Factor, j.Share, j.Status, time.Duration(j.Every), j.Away,
	}
	return nil
}
