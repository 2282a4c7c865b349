package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-go/gabion/transport/transporttest/report"
)

// change is one of Config.Changes on its way.
type change struct {
	*Change
	run     *run
	index   uint64
	targets []*server
	begin   event
	end     event
	round   event // of Churn
	rounds  uint64
}

func (r *run) addChange(i int) {
	h := &change{Change: &r.Changes[i], run: r, index: uint64(i)}
	for _, v := range r.services[h.Service].servers {
		if h.concerns(*v.kind) {
			h.targets = append(h.targets, v)
		}
	}
	h.targets = h.targets[h.First:]
	if h.Count > 0 {
		h.targets = h.targets[:h.Count]
	}
	r.agenda.plan(&h.begin, h.At, h)
	if h.For > 0 {
		r.agenda.plan(&h.end, h.At+h.For, h)
	}
}

func (h *change) happen(e *event) {
	switch e {
	case &h.begin:
		h.run.note(report.Fault, h.subject(), h.detail())
		h.apply(1)
	case &h.end:
		h.run.agenda.cancel(&h.round)
		h.run.note(report.Heal, h.subject(), h.detail())
		h.apply(-1)
	default:
		h.restart()
	}
}

// apply begins (1) or ends (-1) the change.
func (h *change) apply(sign int) {
	switch h.Kind {
	case Churn:
		if sign > 0 {
			h.restart()
		}
		return
	case Leave:
		defer h.run.services[h.Service].changed()
	}
	for _, v := range h.targets {
		h.applyTo(v, sign)
	}
}

func (h *change) applyTo(v *server, sign int) {
	switch h.Kind {
	case Slow:
		v.setSlow(h.Factor, sign)
	case Fail:
		v.setFailing(h.Change, sign)
	case Down:
		if v.down += sign; v.down == 1 && sign > 0 {
			v.crash()
		}
	case Hang:
		v.hanging += sign
	case Leave:
		v.absent += sign
	}
}

func (v *server) setSlow(factor float64, sign int) {
	if sign > 0 {
		v.slows = append(v.slows, factor)
	} else {
		i := slices.Index(v.slows, factor)
		v.slows = slices.Delete(v.slows, i, i+1)
	}
	slow := 1.0
	for _, f := range v.slows {
		slow *= f
	}
	v.work.retime(slow)
}

func (v *server) setFailing(f *Change, sign int) {
	if sign < 0 {
		v.failures = slices.DeleteFunc(v.failures, func(o *Change) bool { return o == f })
		return
	}
	v.failures = append(v.failures, f)
}

// restart is one step of Churn.
func (h *change) restart() {
	r := h.run
	i := int(r.chance("churn", h.index, h.rounds) * float64(len(h.targets)))
	away := h.Away.At(r.chance("away", h.index, h.rounds))
	h.rounds++
	r.agenda.plan(&h.round, r.now+h.Every, h)
	v := h.targets[i]
	if v.restarting {
		return
	}
	v.restarting = true
	v.absent++
	v.down++
	v.crash()
	v.service.changed()
	b := &comeback{server: v}
	r.agenda.plan(&b.at, r.now+away, b)
}

// comeback is the end of a restart.
type comeback struct {
	server *server
	at     event
}

func (b *comeback) happen(*event) {
	v := b.server
	v.restarting = false
	v.absent--
	v.down--
	v.service.rename(v)
	v.service.changed()
}

// subject names what the change happens to.
func (h *change) subject() string {
	first := h.targets[0].name
	if len(h.targets) == 1 {
		return first
	}
	return fmt.Sprintf("%s and %d more", first, len(h.targets)-1)
}

// detail describes the change.
func (h *change) detail() string {
	words := []string{h.Kind}
	switch h.Kind {
	case Slow:
		words = append(words, fmt.Sprintf("x%g", h.Factor))
	case Fail:
		words = append(words, fmt.Sprintf("%g%% with %d", 100*h.Share, h.Status))
	case Churn:
		words = append(words, "every "+h.Every.String())
	}
	return strings.Join(words, " ")
}
