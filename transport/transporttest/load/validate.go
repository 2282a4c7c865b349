package load

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// maxRate bounds rates: at 1e9 per second no time would be left between calls.
const maxRate = 1e8

// takes lists by kind the settings that it takes, in the order of Load.
func takes(kind string) []string {
	switch kind {
	case Poisson, Constant:
		return []string{"rate"}
	case Ramp:
		return []string{"rate", "to"}
	case Burst:
		return []string{"burst", "every"}
	case Replay:
		return []string{"at", "file"}
	case Closed:
		return []string{"workers", "think"}
	}
	return nil
}

// settings lists those settings that not every kind takes and that are set.
func (l Load) settings() []string {
	var names []string
	add := func(name string, set bool) {
		if set {
			names = append(names, name)
		}
	}
	add("rate", l.Rate != 0)
	add("to", l.To != 0)
	add("burst", l.Burst != 0)
	add("every", l.Every != 0)
	add("at", len(l.At) > 0)
	add("file", l.File != "")
	add("workers", l.Workers != 0)
	think := l.Think
	add("think", think.Kind != "" || think.Mean != 0)
	return names
}

// Validate reports, joined, everything that is wrong with l. A setting that the
// kind does not take is an error.
func (l Load) Validate() error {
	l = l.WithDefaults()
	errs := []error{l.validateRequest(), l.validateTimes()}
	taken := takes(l.Kind)
	if taken == nil {
		kinds := strings.Join([]string{Poisson, Constant, Ramp, Burst, Replay, "or " + Closed}, ", ")
		return errors.Join(append(errs, fmt.Errorf("load: kind %.40q: want %s", l.Kind, kinds))...)
	}
	for _, name := range l.settings() {
		if !slices.Contains(taken, name) {
			errs = append(errs, fmt.Errorf("load: %s: a %s load has none, leave it out", name, l.Kind))
		}
	}
	return errors.Join(append(errs, l.validateKind())...)
}

func (l Load) validateRequest() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("load: "+format, args...))
	}
	if l.Client == "" {
		bad("client is missing: name the host that calls")
	}
	if l.Service == "" {
		bad("service is missing: name what is called")
	}
	if !token(l.Method) {
		bad("method %.40q: want a method such as GET", l.Method)
	}
	if u, err := url.ParseRequestURI(l.Path); err != nil || l.Path[0] != '/' || u.Host != "" {
		bad("path %.80q: want a path such as /v1/carts/7", l.Path)
	}
	for name, value := range l.Header {
		if !token(name) {
			bad("header %.40q: want a name such as Idempotency-Key", name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			bad("header %.40q: its value has control characters; remove them", name)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// token reports whether s is a token of RFC 9110, section 5.6.2.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func (l Load) validateTimes() error {
	var errs []error
	if l.Start < 0 {
		errs = append(errs, fmt.Errorf("load: start %v: must not be negative", l.Start))
	}
	if l.For < 0 {
		errs = append(errs, fmt.Errorf("load: for %v: must not be negative; 0s is until the run ends", l.For))
	}
	if l.Timeout < 0 {
		errs = append(errs, fmt.Errorf("load: timeout %v: must not be negative; 0s is none", l.Timeout))
	}
	return errors.Join(errs...)
}

// validateKind checks the settings of the kind.
func (l Load) validateKind() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("load: "+format, args...))
	}
	switch l.Kind {
	case Poisson, Constant:
		if !(l.Rate > 0 && l.Rate <= maxRate) {
			bad("rate %v: want calls per second, above 0 and up to %v", l.Rate, maxRate)
		}
	case Ramp:
		if !(l.Rate >= 0 && l.Rate <= maxRate) {
			bad("rate %v: want calls per second, 0 to %v", l.Rate, maxRate)
		}
		if !(l.To >= 0 && l.To <= maxRate) {
			bad("to %v: want calls per second, 0 to %v", l.To, maxRate)
		}
		if l.Rate == 0 && l.To == 0 {
			bad("rate 0, to 0: set one of the two")
		}
	case Burst:
		if l.Burst <= 0 {
			bad("burst %d: want how many calls at once, 1 or more", l.Burst)
		}
		if l.Every < 0 {
			bad("every %v: must not be negative; 0s is one burst only", l.Every)
		}
	case Replay:
		errs = append(errs, l.validateReplay())
	case Closed:
		if l.Workers <= 0 {
			bad("workers %d: want 1 or more", l.Workers)
		}
		if err := l.Think.Validate(); err != nil {
			bad("think: %w", err)
		}
	}
	return errors.Join(errs...)
}

func (l Load) validateReplay() error {
	switch {
	case l.File != "" && len(l.At) > 0:
		return errors.New("load: at and file: set one of the two")
	case l.File == "" && len(l.At) == 0:
		return errors.New("load: at: want at least one offset, or a file")
	}
	for i, at := range l.At {
		if at < 0 {
			return fmt.Errorf("load: at[%d] %v: must not be negative", i, at)
		}
		if i > 0 && at < l.At[i-1] {
			return fmt.Errorf("load: at[%d] %v: must not be before the %v ahead of it", i, at, l.At[i-1])
		}
	}
	return nil
}
