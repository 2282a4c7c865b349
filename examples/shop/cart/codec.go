package cart

import (
	"encoding/json"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

// The state of a cart as it is stored and as replicas exchange it. Names are
// short because a replica sends whole carts; fields are only ever added.

type stampJSON struct {
	Micros  int64  `json:"t"`
	Replica string `json:"r"`
}

type entryJSON struct {
	Quantity int       `json:"q"`
	Stamp    stampJSON `json:"at"`
}

// recentJSON is by product and key.
type recentJSON map[string]map[string]entryJSON

type lineJSON struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

type orderState struct {
	ID      string     `json:"id"`
	Key     string     `json:"key"`
	Lines   []lineJSON `json:"lines"`
	Total   kit.Money  `json:"total"`
	Created time.Time  `json:"created"`
}

type cartState struct {
	ID      string               `json:"id"`
	Created stampJSON            `json:"created"`
	Entries map[string]entryJSON `json:"entries,omitempty"`
	Recent  recentJSON           `json:"recent,omitempty"`
	Order   *orderState          `json:"order,omitempty"`
}

// MarshalJSON writes the cart's whole state, removals included.
func (c Cart) MarshalJSON() ([]byte, error) {
	s := cartState{ID: c.ID, Created: stampJSON(c.Created), Entries: make(map[string]entryJSON, len(c.Entries))}
	for product, e := range c.Entries {
		s.Entries[product] = entryJSON{e.Quantity, stampJSON(e.Stamp)}
	}
	for product, changes := range c.Recent {
		if s.Recent == nil {
			s.Recent = make(recentJSON, len(c.Recent))
		}
		s.Recent[product] = make(map[string]entryJSON, len(changes))
		for key, e := range changes {
			s.Recent[product][key] = entryJSON{e.Quantity, stampJSON(e.Stamp)}
		}
	}
	if o := c.Order; o != nil {
		s.Order = &orderState{o.ID, o.Key, toLinesJSON(o.Lines), o.Total, o.Created}
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Cart) UnmarshalJSON(data []byte) error {
	var s cartState
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	read := Cart{ID: s.ID, Created: Stamp(s.Created), Entries: make(map[string]Entry, len(s.Entries))}
	for product, e := range s.Entries {
		read.Entries[product] = Entry{e.Quantity, Stamp(e.Stamp)}
	}
	for product, changes := range s.Recent {
		if read.Recent == nil {
			read.Recent = make(map[string]Keyed, len(s.Recent))
		}
		read.Recent[product] = make(Keyed, len(changes))
		for key, e := range changes {
			read.Recent[product][key] = Entry{e.Quantity, Stamp(e.Stamp)}
		}
	}
	if o := s.Order; o != nil {
		read.Order = &Order{o.ID, o.Key, fromLinesJSON(o.Lines), o.Total, o.Created}
	}
	*c = read
	return nil
}

func toLinesJSON(lines []Line) []lineJSON {
	out := make([]lineJSON, 0, len(lines))
	for _, l := range lines {
		out = append(out, lineJSON(l))
	}
	return out
}

func fromLinesJSON(lines []lineJSON) []Line {
	out := make([]Line, 0, len(lines))
	for _, l := range lines {
		out = append(out, Line(l))
	}
	return out
}
