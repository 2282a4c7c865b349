package gabion

import (
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/policysource"
)

// debugPolicies is how the policies in force came about.
type debugPolicies struct {
	Version int                 `json:"version"`
	Changed time.Time           `json:"changed"`
	Source  string              `json:"source"`
	Refused *debugRefusal       `json:"refused,omitempty"`
	InForce transport.Policies  `json:"in_force"`
	Sources []debugPolicySource `json:"sources"`
}

// debugRefusal is the last change that was refused as a whole.
type debugRefusal struct {
	Source string    `json:"source"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// debugPolicySource is a file, or the keys of a store.
type debugPolicySource struct {
	Source    string                `json:"source"`
	Changed   time.Time             `json:"changed,omitzero"`
	Error     string                `json:"error,omitempty"`
	Documents []debugPolicyDocument `json:"documents"`
}

// debugPolicyDocument is one that is taken or refused as a whole. With a reason in
// Refused, what was read at Accepted is in force still.
type debugPolicyDocument struct {
	Name      string    `json:"name"`
	Accepted  time.Time `json:"accepted,omitzero"`
	Refused   string    `json:"refused,omitempty"`
	RefusedAt time.Time `json:"refused_at,omitzero"`
}

func (s *Service) debugPolicies() debugPolicies {
	state := s.client.PolicyState()
	d := debugPolicies{
		Version: state.Version, Changed: state.Changed, Source: state.Source,
		InForce: s.client.Policies(), Sources: []debugPolicySource{},
	}
	if r := state.Refused; r != nil {
		d.Refused = &debugRefusal{r.Source, r.At, r.Err.Error()}
	}
	for _, f := range s.followers {
		d.Sources = append(d.Sources, newDebugPolicySource(f.Status()))
	}
	return d
}

func newDebugPolicySource(s policysource.Status) debugPolicySource {
	d := debugPolicySource{Source: s.Source, Changed: s.Changed, Documents: []debugPolicyDocument{}}
	if s.Err != nil {
		d.Error = s.Err.Error()
	}
	for _, doc := range s.Documents {
		one := debugPolicyDocument{Name: doc.Name, Accepted: doc.Accepted, RefusedAt: doc.Refused}
		if doc.Err != nil {
			one.Refused = doc.Err.Error()
		}
		d.Documents = append(d.Documents, one)
	}
	return d
}
