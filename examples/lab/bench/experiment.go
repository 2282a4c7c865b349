package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Experiment compares policies in one situation.
type Experiment struct {
	// Name is what the command line calls it, in kebab-case.
	Name string
	// Title says in a few words what happens.
	Title string
	// About is the set-up, its source, and where and why our figures differ
	// from those that were published. Paragraphs are apart by an empty line;
	// lines are broken anew.
	About string
	// Takes is about how long the whole takes in real time on two cores.
	Takes time.Duration
	// Policies are all that can be compared, in the order of the rows.
	Policies []string
	// Published is what others found, printed beside our rows.
	Published []Published
	// Columns names the figures that the text shows, in order. Default all
	// that any row has. JSON always has all.
	Columns []string
	// Chart names the figures that the chart shows, a panel each. Default
	// Columns.
	Chart []string
	// Run makes the rows. They follow from Run.Seed alone, unless About says
	// otherwise. It ends soon after ctx does, with ctx's error.
	Run func(ctx context.Context, r Run) ([]Row, error)
}

// Run says how an experiment is run.
type Run struct {
	// Seed of everything random.
	Seed uint64
	// Policies to run, some of the experiment's, in its order.
	Policies []string
	// Quick asks for a short form with fewer steps and less time, for tests.
	Quick bool
	// Progress tells where the run is, if it is not nil. It is safe for
	// concurrent use, in bubbles of virtual time too.
	Progress func(format string, args ...any)
}

// Tell calls Progress if there is one.
func (r Run) Tell(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(format, args...)
	}
}

// Has reports whether policy is to be run.
func (r Run) Has(policy string) bool { return slices.Contains(r.Policies, policy) }

// Published is what others found for one policy.
type Published struct {
	// Policy it is about, also one that no row has.
	Policy string
	// Variant and Load of the rows that it stands beside. Default: the first
	// row of the policy.
	Variant string
	Load    float64
	// Figures in words, such as "95 %, p99.9 about 1860 ms".
	Figures string
	// Source says who found them.
	Source string
}

// pick returns the policies that list names, separated by commas, in the order of
// the experiment; all for an empty list.
func (e *Experiment) pick(list string) ([]string, error) {
	if list == "" {
		return slices.Clone(e.Policies), nil
	}
	names := strings.Split(list, ",")
	for _, n := range names {
		if !slices.Contains(e.Policies, n) {
			return nil, fmt.Errorf("%s has no policy %q, only %s", e.Name, n, strings.Join(e.Policies, ", "))
		}
	}
	var picked []string
	for _, p := range e.Policies {
		if slices.Contains(names, p) {
			picked = append(picked, p)
		}
	}
	return picked, nil
}
