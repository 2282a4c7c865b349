package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-go/gabion/examples/shop/launch"
)

// stepTimeout bounds the beginning of a fault and its mending.
const stepTimeout = 5 * time.Second

// monkey breaks and mends one shop.
type monkey struct {
	registry launch.Registry
	addr     string // of the storefront
	out      io.Writer
	rand     *rand.Rand
	client   *http.Client

	every, total time.Duration
	lasts        time.Duration // in place of the actions' own, if not zero
	action       *action       // nil: any
	target       string        // service or instance; empty: any but the storefront
	explained    map[string]bool
}

// run breaks things until the time is over or ctx ends. All is mended when it
// returns.
func (m *monkey) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.total)
	defer cancel()
	for ctx.Err() == nil {
		if err := m.strike(ctx); err != nil {
			return err
		}
		wait(ctx, m.every)
	}
	m.say("over; all is mended")
	return nil
}

// strike does one action and mends it.
func (m *monkey) strike(ctx context.Context) error {
	shop, err := m.registry.Find(m.addr)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	a := m.choose()
	h, ok := m.aim(a, shop.Children)
	if !ok {
		m.say("no %s now: no instance of %s is up", a.name, cmp.Or(m.target, "any service"))
		return nil
	}
	m.announce(a, h)
	failure := m.begin(ctx, a, h)
	if a.undo == nil {
		return failure
	}
	if failure == nil {
		wait(ctx, h.lasts)
	}
	return errors.Join(failure, m.mend(ctx, a, h))
}

// choose returns the action that was asked for, or any.
func (m *monkey) choose() *action {
	if m.action != nil {
		return m.action
	}
	return &actions[m.rand.IntN(len(actions))]
}

// aim chooses what to hit among the instances that are up.
func (m *monkey) aim(a *action, children []launch.State) (hit, bool) {
	var up []launch.State
	for _, st := range children {
		if st.Ready() && m.mayHit(st) {
			up = append(up, st)
		}
	}
	if len(up) == 0 {
		return hit{}, false
	}
	one := up[m.rand.IntN(len(up))]
	h := hit{monkey: m, service: one.Service, targets: []launch.State{one}, lasts: cmp.Or(m.lasts, a.lasts)}
	if a.whole {
		h.targets = nil
		for _, st := range children {
			if st.Service == one.Service && st.PID != 0 {
				h.targets = append(h.targets, st)
			}
		}
	}
	return h, true
}

func (m *monkey) mayHit(st launch.State) bool {
	if m.target == "" {
		return st.Service != "storefront"
	}
	return m.target == st.Service || m.target == st.Name()
}

// begin does a, to its end even if ctx ends meanwhile: a fault that is there by
// half could not be mended for certain.
func (m *monkey) begin(ctx context.Context, a *action, h hit) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	return a.do(ctx, h)
}

// mend undoes a, whether or not ctx still stands.
func (m *monkey) mend(ctx context.Context, a *action, h hit) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	h.targets = m.survivors(h.targets)
	m.say("%s of %s is over", a.name, h.what(a))
	return a.undo(ctx, h)
}

// survivors returns those of targets that have not been restarted meanwhile:
// only they need mending, and the others' process ids are not ours any more.
func (m *monkey) survivors(targets []launch.State) (same []launch.State) {
	shop, err := m.registry.Find(m.addr)
	if err != nil {
		return nil // the shop is closed
	}
	for _, now := range shop.Children {
		for _, was := range targets {
			if now.Name() == was.Name() && now.PID == was.PID {
				same = append(same, now)
			}
		}
	}
	return same
}

// what names what was hit.
func (h hit) what(a *action) string {
	if a.whole || len(h.targets) != 1 {
		return h.service
	}
	return h.targets[0].Name()
}

func (m *monkey) announce(a *action, h hit) {
	var pids []string
	for _, st := range h.targets {
		pids = append(pids, strconv.Itoa(st.PID))
	}
	lasts := ""
	if h.lasts > 0 && a.undo != nil {
		lasts = fmt.Sprintf(" for %v", h.lasts)
	}
	m.say("%s %s (pid %s)%s", a.name, h.what(a), strings.Join(pids, ", "), lasts)
	if !m.explained[a.name] {
		m.explained[a.name] = true
		fmt.Fprintf(m.out, "          look for: %s\n", a.watch)
	}
}

func (m *monkey) say(format string, args ...any) {
	fmt.Fprintf(m.out, time.Now().Format(time.TimeOnly)+"  "+format+"\n", args...)
}

// setFault puts body on the fault switch of st.
func (m *monkey) setFault(ctx context.Context, st launch.State, body string) error {
	url := "http://" + st.Admin + "/shop/fault"
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("chaos: %s: %w", st.Name(), err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := m.client.Do(req)
	if err != nil {
		return fmt.Errorf("chaos: %s: %w", st.Name(), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("chaos: %s: PUT %s answers %s", st.Name(), url, resp.Status)
	}
	return nil
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
