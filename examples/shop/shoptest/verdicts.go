package shoptest

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/gabion-go/gabion/transport/transporttest"
)

// verdicts are the failures of what the storefront promises always to show: the
// page, and the list of products once the process has seen one.
type verdicts struct {
	mu    sync.Mutex
	wrong []string
}

// judge returns a middleware that judges one process of the storefront by what
// its handlers answer, whatever becomes of the answer on its way.
func (v *verdicts) judge(p *transporttest.Process) func(http.Handler) http.Handler {
	var mu sync.Mutex
	listed := false
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kept := &statusKept{ResponseWriter: w, status: http.StatusOK}
			next.ServeHTTP(kept, r)
			mu.Lock()
			defer mu.Unlock()
			list := r.URL.Path == "/api/products"
			if kept.status < 500 {
				listed = listed || list
			} else if r.URL.Path == "/" || list && listed {
				v.add(fmt.Sprintf("%s answered %s %s with %d", p.Host().Name(), r.Method, r.URL.Path, kept.status))
			}
		})
	}
}

func (v *verdicts) add(wrong string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wrong = append(v.wrong, wrong)
}

func (v *verdicts) all() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wrong
}

// statusKept remembers the status of a response.
type statusKept struct {
	http.ResponseWriter
	status int
}

func (w *statusKept) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusKept) Unwrap() http.ResponseWriter { return w.ResponseWriter }
