package health

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// LiveHandler serves the liveness probe, usually at /livez: 200 while no
// critical liveness check fails, else 503.
//
// All three handlers answer GET and HEAD on any path, never redirect, and
// forbid caching. The body is application/health+json
// (draft-inadarei-api-health-check-06): only the status, "pass", "warn" or
// "fail". With ?verbose it also lists the checks behind it with their last
// errors, shortened and without passwords; those are for operators, so a
// listener that strangers reach should drop the query.
func (c *Checker) LiveHandler() http.Handler {
	return &handler{c, []Kind{Liveness}, func() discovery.Status { return c.worst(Liveness) }}
}

// ReadyHandler serves the readiness probe, usually at /readyz: 200 when the
// process has started, is not draining, and no critical readiness or liveness
// check fails, else 503. See [Checker.LiveHandler] for the form.
func (c *Checker) ReadyHandler() http.Handler {
	return &handler{c, []Kind{Readiness, Liveness, Startup}, c.readiness}
}

// StartupHandler serves the startup probe, usually at /startupz: 200 once the
// process has started, else 503. See [Checker.LiveHandler] for the form.
func (c *Checker) StartupHandler() http.Handler {
	return &handler{c, []Kind{Startup}, func() discovery.Status {
		if c.started() {
			return discovery.Passing
		}
		return discovery.Critical
	}}
}

// handler serves one probe.
type handler struct {
	checker *Checker
	kinds   []Kind
	verdict func() discovery.Status // called with checker.mu held
}

// report and checkReport are the health+json body.
type report struct {
	Status string                   `json:"status"`
	Notes  []string                 `json:"notes,omitempty"`
	Checks map[string][]checkReport `json:"checks,omitempty"`
}

type checkReport struct {
	Status string     `json:"status"`
	Time   *time.Time `json:"time,omitempty"`
	Took   float64    `json:"observedValue"`
	Unit   string     `json:"observedUnit"`
	Output string     `json:"output,omitempty"`
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	h.checker.refresh(r.Context(), h.kinds...)
	status, body := h.report(r.URL.Query().Has("verbose"))
	w.Header().Set("Content-Type", "application/health+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(httpStatus(status))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the prober has gone if this fails
	}
}

// report returns the verdict and the body that tells it.
func (h *handler) report(verbose bool) (discovery.Status, []byte) {
	c := h.checker
	c.mu.Lock()
	defer c.mu.Unlock()
	status := h.verdict()
	rep := report{Status: word(status)}
	if verbose {
		rep.Notes = c.notes()
		rep.Checks = map[string][]checkReport{}
		for _, k := range c.checks {
			if slices.Contains(h.kinds, k.kind) {
				rep.Checks[k.name] = []checkReport{k.report()}
			}
		}
	}
	body, _ := json.Marshal(rep) // strings, a finite number and a time: cannot fail
	return status, body
}

// notes tells what else than checks decides. The caller holds c.mu.
func (c *Checker) notes() []string {
	var notes []string
	if !c.started() {
		notes = append(notes, "not started")
	}
	if c.draining {
		notes = append(notes, "draining")
	}
	return notes
}

func (k *check) report() checkReport {
	rep := checkReport{
		Status: word(k.status()),
		Took:   float64(k.took.Microseconds()) / 1000,
		Unit:   "ms",
		Output: k.output,
	}
	if k.checked.IsZero() {
		rep.Output = "not checked yet"
	} else {
		rep.Time = new(k.checked.UTC())
	}
	return rep
}

func httpStatus(s discovery.Status) int {
	if s == discovery.Critical {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func word(s discovery.Status) string {
	switch s {
	case discovery.Passing:
		return "pass"
	case discovery.Warning:
		return "warn"
	default:
		return "fail"
	}
}
