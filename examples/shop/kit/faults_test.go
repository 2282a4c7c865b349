package kit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

var fine = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

func TestFaultsModes(t *testing.T) {
	for name, c := range map[string]struct {
		fault kit.Fault
		wait  time.Duration
		want  int
	}{
		"none": {kit.Fault{Mode: kit.ModeNone, Rate: 1}, 0, http.StatusNoContent},
		"slow": {kit.Fault{Mode: kit.ModeSlow, Delay: 3 * time.Second, Rate: 1}, 3 * time.Second, http.StatusNoContent},
		"fail": {kit.Fault{Mode: kit.ModeFail, Rate: 1}, 0, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f kit.Faults
				if err := f.Set(c.fault); err != nil {
					t.Fatal(err)
				}
				start, rec := time.Now(), httptest.NewRecorder()
				f.Wrap(fine).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
				if rec.Code != c.want || time.Since(start) != c.wait {
					t.Errorf("got %d after %v, want %d after %v", rec.Code, time.Since(start), c.want, c.wait)
				}
			})
		})
	}
}

func TestSlowEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f kit.Faults
		_ = f.Set(kit.Fault{Mode: kit.ModeSlow, Delay: time.Minute, Rate: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		reached := false
		next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })
		start := time.Now()
		f.Wrap(next).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil).WithContext(ctx))
		if took := time.Since(start); took != time.Second || reached {
			t.Errorf("held the request for %v and reached the handler: %v; want 1s, false", took, reached)
		}
	})
}

func TestFaultsRate(t *testing.T) {
	var f kit.Faults
	_ = f.Set(kit.Fault{Mode: kit.ModeFail, Rate: 0.5})
	failed := 0
	for range 1000 {
		rec := httptest.NewRecorder()
		f.Wrap(fine).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		if rec.Code == http.StatusServiceUnavailable {
			failed++
		}
	}
	if failed < 350 || failed > 650 {
		t.Errorf("%d of 1000 failed at rate 0.5", failed)
	}
}

func TestFaultsSwitch(t *testing.T) {
	const none = `{"mode":"none"}`
	for _, c := range []struct {
		body   string
		status int
		after  string
	}{
		{`{"mode":"slow","delay":"500ms","rate":0.5}`, 200, `{"mode":"slow","delay":"500ms","rate":0.5}`},
		{`{"mode":"fail"}`, 200, `{"mode":"fail","rate":1}`},
		{`{"mode":"none"}`, 200, none},
		{`{"mode":"slow"}`, 400, none},
		{`{"mode":"slow","delay":"soon"}`, 400, none},
		{`{"mode":"slow","delay":"2h"}`, 400, none},
		{`{"mode":"fail","rate":0}`, 400, none},
		{`{"mode":"fail","rate":1.5}`, 400, none},
		{`{"mode":"explode"}`, 400, none},
		{`{}`, 400, none},
		{`[`, 400, none},
		{strings.Repeat(" ", 5000), 400, none},
	} {
		var f kit.Faults
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, httptest.NewRequest("PUT", "/fault", strings.NewReader(c.body)))
		if rec.Code != c.status {
			t.Errorf("PUT %.40s: got %d, want %d", c.body, rec.Code, c.status)
		}
		rec = httptest.NewRecorder()
		f.ServeHTTP(rec, httptest.NewRequest("GET", "/fault", nil))
		if got := strings.TrimSpace(rec.Body.String()); got != c.after {
			t.Errorf("after PUT %.40s: got %s, want %s", c.body, got, c.after)
		}
	}
}

func TestFaultsSwitchMethods(t *testing.T) {
	var f kit.Faults
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, httptest.NewRequest("DELETE", "/fault", nil))
	if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") == "" {
		t.Errorf("DELETE: got %d, Allow %q", rec.Code, rec.Header().Get("Allow"))
	}
}
