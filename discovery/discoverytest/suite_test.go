package discoverytest_test

import (
	"context"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/discoverytest"
	"github.com/gabion-go/gabion/discovery/internal/feed"
)

// memory is a registry in this process. Its defect is what it does wrong.
type memory struct {
	feed   *feed.Feed
	defect string
	wg     sync.WaitGroup

	mu  sync.Mutex
	own map[string]*entry // by ID
}

type entry struct {
	m      *memory
	in     discovery.Instance
	found  bool
	cancel context.CancelFunc
}

func newMemory(defect string) *memory {
	m := &memory{feed: feed.New(), defect: defect, own: map[string]*entry{}}
	m.feed.Settle()
	return m
}

func (m *memory) Register(_ context.Context, in discovery.Instance, status discovery.StatusFunc) (discovery.Registration, error) {
	if err := in.Validate(); err != nil && m.defect != "accepts anything" {
		return nil, err
	}
	select {
	case <-m.feed.Done():
		return nil, discovery.ErrClosed
	default:
	}
	if m.defect != "keeps no copy" {
		in = in.Clone()
	}
	if m.defect == "loses tags" {
		in.Tags = nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &entry{m: m, in: in, found: true, cancel: cancel}
	m.mu.Lock()
	m.own[in.ID] = e
	m.publish(in.Service)
	m.mu.Unlock()
	if status != nil && m.defect != "ignores the status" {
		s, changed := status()
		e.set(s)
		m.wg.Go(func() { e.follow(ctx, status, changed) })
	}
	return e, nil
}

// publish is called with m.mu held.
func (m *memory) publish(service string) {
	var list []discovery.Instance
	for _, e := range m.own {
		if e.in.Service == service && e.found {
			list = append(list, e.in)
		}
	}
	m.feed.Set(service, list)
}

func (e *entry) follow(ctx context.Context, status discovery.StatusFunc, changed <-chan struct{}) {
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-e.m.feed.Done():
			return
		}
		var s discovery.Status
		s, changed = status()
		e.set(s)
	}
}

func (e *entry) set(s discovery.Status) {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	e.found = s != discovery.Critical
	e.m.publish(e.in.Service)
}

func (e *entry) Deregister(context.Context) error {
	m := e.m
	e.cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.defect == "deregisters everything":
		for id, o := range m.own {
			delete(m.own, id)
			m.publish(o.in.Service)
		}
	case m.own[e.in.ID] == e || m.defect == "deregisters a successor":
		delete(m.own, e.in.ID)
	}
	m.publish(e.in.Service)
	return nil
}

func (*entry) Err() error { return nil }

func (m *memory) Watch(ctx context.Context, service string) iter.Seq2[[]discovery.Instance, error] {
	return func(yield func([]discovery.Instance, error) bool) {
		if m.defect == "leaks" {
			go func() { time.Sleep(time.Minute) }()
		}
		for list, err := range m.feed.Watch(ctx, service) {
			if !m.spoil(list, err, yield) {
				return
			}
		}
		if m.defect == "never ends" {
			select {}
		}
	}
}

func (m *memory) spoil(list []discovery.Instance, err error, yield func([]discovery.Instance, error) bool) bool {
	switch m.defect {
	case "yields nil":
		if len(list) == 0 {
			list = nil
		}
	case "yields unsorted":
		slices.Reverse(list)
	case "yields twice":
		if !yield(discovery.CloneList(list), err) {
			return false
		}
	case "watches anything":
		if err != nil {
			list, err = []discovery.Instance{}, nil
		}
	}
	return yield(list, err)
}

func (m *memory) Close() error {
	if m.defect != "does not close" {
		m.feed.Close()
		m.wg.Wait()
	}
	return nil
}

const defectVariable = "GABION_TEST_DEFECT"

// TestMemory runs the suite over a registry that is right, or over one with
// the defect that TestSuiteFindsDefects asks for.
func TestMemory(t *testing.T) {
	discoverytest.Run(t, func(*testing.T) discoverytest.Harness {
		h := discoverytest.Harness{Backend: newMemory(os.Getenv(defectVariable))}
		if h.Backend.(*memory).defect != "" {
			h.Patience = 300 * time.Millisecond
		}
		return h
	})
}

// TestSuiteFindsDefects runs the suite over wrong registries in processes of
// their own: each must fail, and in the case that is about its defect.
func TestSuiteFindsDefects(t *testing.T) {
	for defect, name := range map[string]string{
		"yields nil":              "an_unknown_service_has_an_empty_list",
		"yields unsorted":         "many_instances_with_much_to_say",
		"yields twice":            "nothing_is_yielded_without_a_change",
		"watches anything":        "bad_names_are_not_watched",
		"never ends":              "a_watch_ends_with_its_context",
		"leaks":                   "a_watch_ends_with_its_loop",
		"loses tags":              "every_field_arrives",
		"keeps no copy":           "what_was_registered_is_kept_apart",
		"accepts anything":        "bad_instances_are_refused",
		"ignores the status":      "status_decides_who_is_found",
		"deregisters everything":  "deregistering_one_leaves_the_others",
		"deregisters a successor": "deregistering_twice_is_once",
		"does not close":          "Close_ends_everything",
	} {
		t.Run(defect, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemory$/^"+name+"$")
			cmd.Env = append(os.Environ(), defectVariable+"="+defect)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestMemory/"+name) {
				t.Errorf("the suite did not find it: %v\n%s", err, out)
			}
		})
	}
}
