package discoverytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-go/gabion/discovery"
)

// watchCases ask for nothing but a Resolver whose lists can be changed.
var watchCases = []testCase{
	{name: "an unknown service has an empty list", run: unknownService},
	{name: "an instance appears and vanishes", run: appearAndVanish},
	{name: "what was there before the watch is found", run: foundLater},
	{name: "services do not mix", run: servicesApart},
	{name: "every field arrives", run: everyField},
	{name: "a changed instance is yielded", run: changedInstance},
	{name: "many instances with much to say", run: manyInstances},
	{name: "nothing is yielded without a change", run: noChurn},
	{name: "several watchers see the same", run: severalWatchers},
	{name: "a slow watcher holds up nobody", run: slowWatcher},
	{name: "a ruined list harms nobody", run: ruinedList},
	{name: "a watch ends with its context", run: endsWithContext},
	{name: "a watch ends with its loop", run: endsWithLoop},
	{name: "bad names are not watched", run: badNamesWatched},
}

func unknownService(t *testing.T, s *suite) {
	w := s.watch(t, s.name("nobody"))
	if list := w.has(); list == nil {
		t.Error("the empty list is nil")
	}
}

func appearAndVanish(t *testing.T, s *suite) {
	service := s.name("pricing")
	w := s.watch(t, service)
	a, b := s.instance(service, 1), s.instance(service, 2)
	withdrawA := s.announce(t, a)
	w.has(a)
	withdrawB := s.announce(t, b)
	w.has(a, b)
	withdrawA()
	w.has(b)
	withdrawB()
	w.has()
	s.announce(t, a)
	w.has(a)
}

func foundLater(t *testing.T, s *suite) {
	service := s.name("pricing")
	a := s.instance(service, 1)
	s.announce(t, a)
	s.watch(t, service).has(a)
	s.watch(t, service).has(a)
}

func servicesApart(t *testing.T, s *suite) {
	one, two := s.name("one"), s.name("two")
	w1, w2 := s.watch(t, one), s.watch(t, two)
	a, b := s.instance(one, 1), s.instance(two, 2)
	withdraw := s.announce(t, a)
	s.announce(t, b)
	w1.has(a)
	w2.has(b)
	before := w2.count()
	withdraw()
	w1.has()
	if after := w2.count(); after != before {
		t.Errorf("a change of one service yielded %d lists of another", after-before)
	}
}

// talkative is an instance with something in every field.
func (s *suite) talkative(service string, n int) discovery.Instance {
	in := s.instance(service, n)
	in.Zone, in.Version, in.Weight = "eu-west-1a", "v1.2.3+build.7", 7
	in.Tags = []string{"blue", "a-b_c", "x=1"}
	in.Meta = map[string]string{"admin": "127.0.0.1:9100", "empty": "", "note": "für alle, \"quoted\" = 1"}
	return in
}

func everyField(t *testing.T, s *suite) {
	service := s.name("pricing")
	full := s.talkative(service, 1)
	drained := s.instance(service, 2)
	drained.Weight = -1
	v6 := s.instance(service, 3)
	v6.Addr = "[::1]:20003"
	w := s.watch(t, service)
	for _, in := range []discovery.Instance{full, drained, v6} {
		s.announce(t, in)
	}
	// Told apart here, so that a failure says which field was lost.
	list := w.until("three instances", func(l []discovery.Instance) bool { return len(l) == 3 })
	for i, want := range []discovery.Instance{full, drained, v6} {
		if got := list[i]; !same(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func changedInstance(t *testing.T, s *suite) {
	service := s.name("pricing")
	w := s.watch(t, service)
	in := s.talkative(service, 1)
	for _, change := range []func(){
		func() {},
		func() { in.Zone = "eu-west-1b" },
		func() { in.Version = "v2" },
		func() { in.Weight = 3 },
		func() { in.Tags = []string{"green"} },
		func() { in.Meta = map[string]string{"admin": "127.0.0.1:9200"} },
		func() { in.Addr = "127.0.0.1:20099" },
		func() { in.Zone, in.Version, in.Weight, in.Tags, in.Meta = "", "", 1, nil, nil },
	} {
		change()
		withdraw := s.announce(t, in.Clone())
		w.has(in)
		withdraw()
	}
}

func manyInstances(t *testing.T, s *suite) {
	service := s.name("pricing")
	w := s.watch(t, service)
	var all []discovery.Instance
	for n := range 40 {
		in := s.talkative(service, n)
		for _, k := range []string{"a", "b", "c", "d"} {
			in.Meta[k] = strings.Repeat(k, 400)
		}
		s.announce(t, in)
		all = append(all, in)
	}
	w.has(all...)
}

func noChurn(t *testing.T, s *suite) {
	service, other := s.name("still"), s.name("busy")
	s.announce(t, s.instance(service, 1))
	w, busy := s.watch(t, service), s.watch(t, other)
	w.has(s.instance(service, 1))
	before := w.count()
	for n := range 5 { // the registry moves on, and this service does not
		s.announce(t, s.instance(other, n))
		busy.until("change", func(l []discovery.Instance) bool { return len(l) == n+1 })
	}
	if after := w.count(); after != before {
		t.Errorf("%d lists were yielded though nothing had changed", after-before)
	}
}

func severalWatchers(t *testing.T, s *suite) {
	service := s.name("pricing")
	watchers := []*watcher{s.watch(t, service), s.watch(t, service), s.watch(t, service)}
	a, b := s.instance(service, 1), s.instance(service, 2)
	withdraw := s.announce(t, a)
	s.announce(t, b)
	for _, w := range watchers {
		w.has(a, b)
	}
	watchers[0].stop()
	withdraw()
	for _, w := range watchers[1:] {
		w.has(b)
	}
}

func slowWatcher(t *testing.T, s *suite) {
	service := s.name("pricing")
	entered, stuck := make(chan struct{}), make(chan struct{})
	first := true
	slow := s.watchScribbling(t, service, func([]discovery.Instance) {
		if first {
			first = false
			close(entered)
			<-stuck
		}
	})
	release := closer(stuck)
	t.Cleanup(release) // before slow is waited for
	a := s.instance(service, 1)
	s.announce(t, a)
	s.within(t, entered, "the slow watcher has a list")
	w := s.watch(t, service)
	for n := 2; n < 12; n++ {
		withdraw := s.announce(t, s.instance(service, n))
		w.has(a, s.instance(service, n))
		withdraw()
		w.has(a)
	}
	b := s.instance(service, 99)
	s.announce(t, b)
	w.has(a, b)
	release()
	slow.has(a, b)
}

func ruinedList(t *testing.T, s *suite) {
	service := s.name("pricing")
	ruin := func(list []discovery.Instance) {
		for i := range list {
			for j := range list[i].Tags {
				list[i].Tags[j] = "ruined"
			}
			for k := range list[i].Meta {
				list[i].Meta[k] = "ruined"
			}
			list[i].ID = "ruined"
		}
		slices.Reverse(list)
		_ = append(list[:0], discovery.Instance{ID: "ruined"})
	}
	a, b := s.talkative(service, 1), s.talkative(service, 2)
	s.announce(t, a.Clone())
	vandals := []*watcher{s.watchScribbling(t, service, ruin), s.watchScribbling(t, service, ruin)}
	w := s.watch(t, service)
	s.announce(t, b.Clone())
	w.has(a, b)
	for _, v := range vandals {
		v.has(a, b)
	}
	s.watch(t, service).has(a, b)
}

func endsWithContext(t *testing.T, s *suite) {
	service := s.name("pricing")
	s.announce(t, s.instance(service, 1))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, err := range s.Reader.Watch(ended, service) {
			_ = err // what was known already may be said, but the loop must end
		}
	}()
	s.within(t, done, "a watch with an ended context ends")
	for range 20 {
		s.watch(t, service).stop() // at any moment, before the first list too
		s.watch(t, s.name("nobody")).stop()
	}
	w := s.watch(t, service)
	w.has(s.instance(service, 1))
	w.stop()
}

func endsWithLoop(t *testing.T, s *suite) {
	service := s.name("pricing")
	s.announce(t, s.instance(service, 1))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for list, err := range s.Reader.Watch(t.Context(), service) {
			if err == nil && len(list) > 0 {
				break
			}
		}
	}()
	s.within(t, done, "a loop that breaks")
}

// badNames could harm a registry if they reached it.
var badNames = []string{"", "a/b", "../kv", "a b", "a?dc=x", "a.b", "a\n", "-a", "a-", "prixé", strings.Repeat("x", 64)}

func badNamesWatched(t *testing.T, s *suite) {
	for _, name := range badNames {
		done := make(chan struct{})
		go func() {
			defer close(done)
			n := 0
			for list, err := range s.Reader.Watch(t.Context(), name) {
				n++
				if list != nil || !errors.Is(err, discovery.ErrBadName) {
					t.Errorf("Watch(%q) yielded %v, %v; want ErrBadName", name, list, err)
				}
			}
			if n != 1 {
				t.Errorf("Watch(%q) yielded %d times, want one error", name, n)
			}
		}()
		s.within(t, done, "a watch of a bad name ends")
	}
}
