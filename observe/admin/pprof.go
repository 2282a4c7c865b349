package admin

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

const (
	defaultProfile = 30 * time.Second // CPU profile without ?seconds
	defaultTrace   = time.Second      // execution trace without ?seconds
	maxProfile     = 5 * time.Minute
)

// profileIndex lists the profiles.
func profileIndex(w http.ResponseWriter, _ *http.Request) {
	links := []string{"/debug/pprof/profile?seconds=10", "/debug/pprof/trace?seconds=1"}
	for _, p := range pprof.Profiles() {
		links = append(links, "/debug/pprof/"+p.Name()+"?debug=1")
	}
	index("profiles", links).ServeHTTP(w, nil)
}

// profile serves the profile that the path names, in the form that go tool
// pprof and go tool trace read. Parameters: seconds for profile and trace;
// debug=1 or 2 for text, gc=1 to collect garbage before a heap profile.
func profile(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("name"); name {
	case "profile":
		record(w, r, defaultProfile, pprof.StartCPUProfile, pprof.StopCPUProfile)
	case "trace":
		record(w, r, defaultTrace, trace.Start, trace.Stop)
	default:
		lookup(w, r, name)
	}
}

// record runs a profiler for as long as the request asks for.
func record(w http.ResponseWriter, r *http.Request, d time.Duration, start func(io.Writer) error, stop func()) {
	if s := r.URL.Query().Get("seconds"); s != "" {
		seconds, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(seconds) || seconds <= 0 || seconds > maxProfile.Seconds() {
			problem(w, http.StatusBadRequest, fmt.Sprintf("seconds %.20q: want a number up to %v", s, maxProfile.Seconds()))
			return
		}
		d = time.Duration(seconds * float64(time.Second))
	}
	// The server's write timeout is for quick answers; without a deadline to
	// set there is none in the way.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d + 30*time.Second))
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(w); err != nil {
		problem(w, http.StatusConflict, "another recording is running: "+err.Error())
		return
	}
	defer stop()
	wait(r.Context(), d)
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// lookup serves one of the profiles that the runtime always keeps.
func lookup(w http.ResponseWriter, r *http.Request, name string) {
	p := pprof.Lookup(name)
	if p == nil {
		problem(w, http.StatusNotFound, "no such profile")
		return
	}
	if name == "heap" && r.URL.Query().Get("gc") == "1" {
		runtime.GC()
	}
	debug, _ := strconv.Atoi(r.URL.Query().Get("debug")) // 0 if absent or bad
	w.Header().Set("Content-Type", "application/octet-stream")
	if debug != 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_ = p.WriteTo(w, debug) // a reader that has left needs no answer
}
