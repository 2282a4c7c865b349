package consul_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/internal/duration"
)

func TestWatchChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		w := watch(t, f.open(consul.Config{}), "web")
		time.Sleep(time.Second)
		if lists, _ := w.counts(); lists != 1 || w.addrs() != "" {
			t.Fatalf("unknown service: %d lists, %q; want one empty list", lists, w.addrs())
		}
		f.put("web", "a", "10.0.0.1:80")
		time.Sleep(time.Second)
		f.put("web", "b", "[::1]:81")
		f.put("other", "c", "10.0.0.3:80")
		time.Sleep(time.Second)
		if got, want := w.addrs(), "10.0.0.1:80 [::1]:81"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		from := time.Now()
		time.Sleep(time.Hour)
		// 5 min and up to a sixteenth: about 12 an hour.
		if n := f.since("health", from); n > 13 {
			t.Errorf("%d reads in a quiet hour, want about 12", n)
		}
		if lists, errs := w.counts(); lists != 3 || errs != 0 {
			t.Errorf("%d lists and %d errors, want 3 and none", lists, errs)
		}
	})
}

// An index of 0 does not block, go-kit/kit#997.
func TestWatchIndexZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.put("web", "a", "10.0.0.1:80")
		entries := []*api.ServiceEntry{entry("a", "10.0.0.1", 80, api.HealthPassing)}
		f.script = func(w http.ResponseWriter, _ *http.Request) { answer(w, 0, entries) }
		w := watch(t, f.open(consul.Config{}), "web")

		time.Sleep(10 * time.Second)
		f.set(func(f *fake) {
			f.script = func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `[{"Node":{"Address":"10.0.0.1"},"Service":{"ID":"a","Port":80}}]`)
			}
		})
		time.Sleep(10 * time.Second)
		f.set(func(f *fake) { f.script = nil })
		time.Sleep(5 * time.Second)
		if n := f.busiestSecond("health", f.requests("health")[0].at.Add(time.Second)); n > 2 {
			t.Errorf("%d reads in a second, want 2 at most", n)
		}
		from := time.Now()
		time.Sleep(4 * time.Minute)
		if n := f.since("health", from); n != 0 {
			t.Errorf("%d reads after the index became usable, want the query to block", n)
		}
		if lists, errs := w.counts(); lists != 1 || errs != 0 {
			t.Errorf("%d lists and %d errors, want one list", lists, errs)
		}
	})
}

// The index moves although nothing changed, hashicorp/consul#3890.
func TestWatchRisingIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		entries := []*api.ServiceEntry{
			entry("a", "10.0.0.1", 80, api.HealthPassing),
			entry("b", "10.0.0.2", 80, api.HealthPassing),
			entry("c", "10.0.0.3", 80, api.HealthPassing),
		}
		var index atomic.Uint64
		f.script = func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(200 * time.Millisecond)
			rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
			answer(w, index.Add(1), entries)
		}
		began := time.Now()
		w := watch(t, f.open(consul.Config{}), "web")
		time.Sleep(15 * time.Second)
		if lists, errs := w.counts(); lists != 1 || errs != 0 {
			t.Errorf("%d lists and %d errors, want one list", lists, errs)
		}
		if n := f.busiestSecond("health", began.Add(2*time.Second)); n > 2 {
			t.Errorf("%d reads in a second, want 2 at most", n)
		}
	})
}

// An index that goes backwards would block until it is reached again.
func TestWatchIndexBackwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.index = 1000
		f.put("web", "a", "10.0.0.1:80")
		w := watch(t, f.open(consul.Config{}), "web")
		time.Sleep(time.Second)
		f.forget()
		f.put("web", "a", "10.0.0.9:80")
		time.Sleep(6 * time.Minute) // the query under way ends, the next does not block
		if got, want := w.addrs(), "10.0.0.9:80"; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		anew := false
		for _, r := range f.requests("health")[2:] {
			anew = anew || !strings.Contains(r.query, "index=")
		}
		if !anew {
			t.Error("the index was not reset")
		}
		from := time.Now()
		f.put("web", "b", "10.0.0.10:80")
		time.Sleep(time.Second)
		if got, want := w.addrs(), "10.0.0.9:80 10.0.0.10:80"; got != want {
			t.Errorf("%v after the change: got %q, want %q", time.Since(from), got, want)
		}
	})
}

// A query may be held for wait and a sixteenth; one that goes on is given up
// 10 s later.
func TestWatchTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		entries := []*api.ServiceEntry{entry("a", "10.0.0.1", 80, api.HealthPassing)}
		f.script = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("index") {
				time.Sleep(16*time.Minute/4 + time.Minute/4)
			}
			answer(w, 7, entries)
		}
		w := watch(t, f.open(consul.Config{Wait: duration.Duration(4 * time.Minute)}), "web")
		time.Sleep(time.Hour)
		if _, errs := w.counts(); errs != 0 {
			t.Fatalf("%d errors from answers in time, first %v", errs, w.lastError())
		}

		f.set(func(f *fake) { f.script = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() } })
		time.Sleep(10 * time.Minute)
		if _, errs := w.counts(); errs == 0 {
			t.Fatal("a query without an answer is still waited for")
		}
		all := f.requests("health")
		from := len(all)
		for i, r := range all {
			if r.query != "" && i > 0 && strings.Contains(r.query, "index=7") {
				from = i // the last that blocked
			}
		}
		gap := all[from+1].at.Sub(all[from].at)
		if limit := 4*time.Minute + 15*time.Second + 10*time.Second; gap < limit || gap > limit+2*time.Second {
			t.Errorf("given up after %v, want %v", gap, limit)
		}
		if strings.Contains(all[from+1].query, "index") {
			t.Errorf("the read after the failure blocks: %s", all[from+1].query)
		}
		if n := f.net.dialled(); n < 2 {
			t.Errorf("%d connections, want a new one after the failure", n)
		}
	})
}

// Whatever Consul answers, the list stands and the reads are few.
func TestWatchBadAnswers(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "12")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, script := range map[string]http.HandlerFunc{
		"html":       status(200, "<html>captive portal</html>"),
		"null":       status(200, "null"),
		"object":     status(200, "{}"),
		"nothing":    status(200, ""),
		"cut":        status(200, `[{"Node":{"Address":"10.0.`),
		"bad number": status(200, `[{"Service":{"ID":"a","Port":"eighty"}}]`),
		"403":        status(403, "ACL not found"),
		"404":        status(404, "no such page"),
		"429":        status(429, "too many"),
		"500":        status(500, "No cluster leader"),
		"503":        status(503, ""),
		"204":        status(204, ""),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.test/", http.StatusFound)
		},
		"empty, unproven":  emptyWhenBlocking,
		"filtered by ACLs": func(w http.ResponseWriter, _ *http.Request) { filtered(w) },
		"too long":         endless,
		"long header":      func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 1<<20)) },
		"abort":            func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.put("web", "a", "10.0.0.1:80")
				w := watch(t, f.open(consul.Config{MaxResponse: 1 << 16}), "web")
				time.Sleep(5 * time.Second)

				f.set(func(f *fake) { f.script = script; f.moved() })
				f.net.setDown(true) // the query under way fails too
				f.net.setDown(false)
				time.Sleep(20 * time.Second)
				if _, errs := w.counts(); errs < 2 {
					t.Errorf("%d errors, want several", errs)
				}
				if lists, _ := w.counts(); lists != 1 || w.addrs() != "10.0.0.1:80" {
					t.Errorf("%d lists, the last %q; want the first to stand", lists, w.addrs())
				}
				if n := f.busiestSecond("health", time.Now().Add(-19*time.Second)); n > 2 {
					t.Errorf("%d reads in a second, want 2 at most", n)
				}

				f.set(func(f *fake) { f.script = nil })
				f.put("web", "b", "10.0.0.2:80")
				time.Sleep(5 * time.Second)
				if got, want := w.addrs(), "10.0.0.1:80 10.0.0.2:80"; got != want {
					t.Errorf("5 s after the recovery got %q, want %q", got, want)
				}
			})
		})
	}
}

// emptyWhenBlocking answers as Consul's streaming backend does for a token that
// is not valid: 200 and no instances, while other reads are refused.
func emptyWhenBlocking(w http.ResponseWriter, r *http.Request) {
	if !r.URL.Query().Has("stale") {
		http.Error(w, "ACL not found", http.StatusForbidden)
		return
	}
	w.Header().Set("X-Consul-Query-Backend", "streaming")
	answer(w, 13, []*api.ServiceEntry{})
}

func filtered(w http.ResponseWriter) {
	w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
	answer(w, 13, []*api.ServiceEntry{})
}

func endless(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "[")
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, `{"Node":{"Address":"10.0.0.1"}},`); err != nil {
			return
		}
	}
}

func TestWatchErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		script http.HandlerFunc
		check  func(error) bool
	}{
		"too long is typed": {endless, func(err error) bool {
			e, ok := errors.AsType[*http.MaxBytesError](err)
			return ok && e.Limit == 1<<16
		}},
		"denied": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ACL not found", http.StatusForbidden) }, func(err error) bool {
			e, ok := errors.AsType[api.StatusError](err)
			return ok && e.Code == 403 && errors.Is(err, consul.ErrDenied)
		}},
		"filtered": {func(w http.ResponseWriter, _ *http.Request) { filtered(w) }, func(err error) bool {
			return errors.Is(err, consul.ErrDenied)
		}},
		"other": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusInternalServerError) }, func(err error) bool {
			return !errors.Is(err, consul.ErrDenied)
		}},
		"token repeated": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "bad "+r.Header.Get("X-Consul-Token"), http.StatusForbidden)
		}, func(err error) bool {
			return !strings.Contains(err.Error(), "s3cret") && strings.Contains(err.Error(), "bad [token]")
		}},
		"long refusal": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("x", 1<<20), http.StatusInternalServerError)
		}, func(err error) bool {
			return len(err.Error()) < 2000
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.script = tt.script
				w := watch(t, f.open(consul.Config{MaxResponse: 1 << 16, Token: "s3cret"}), "web")
				time.Sleep(5 * time.Second)
				if err := w.lastError(); err == nil || !tt.check(err) {
					t.Errorf("got error %T %.300v", err, err)
				}
			})
		})
	}
}

// A redirect is an error: the token must not travel.
func TestWatchRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.script = func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.test/", http.StatusTemporaryRedirect)
		}
		w := watch(t, f.open(consul.Config{Token: "s3cret"}), "web")
		time.Sleep(5 * time.Second)
		if e, ok := errors.AsType[api.StatusError](w.lastError()); !ok || e.Code != http.StatusTemporaryRedirect {
			t.Errorf("got error %v, want status 307", w.lastError())
		}
		if n := len(f.requests("other")); n != 0 {
			t.Errorf("%d requests followed the redirect", n)
		}
	})
}

// A service that is really gone ends up empty, confirmed by the leader.
func TestWatchEmpties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.put("web", "a", "10.0.0.1:80")
		w := watch(t, f.open(consul.Config{}), "web")
		time.Sleep(5 * time.Second)
		f.set(func(f *fake) { delete(f.services, "a"); f.moved() })
		time.Sleep(time.Second)
		if lists, errs := w.counts(); lists != 2 || errs != 0 || w.addrs() != "" {
			t.Errorf("%d lists, %d errors, last %q; want a second, empty list", lists, errs, w.addrs())
		}
		all := f.requests("health")
		confirm := 0
		for _, r := range all {
			if !strings.Contains(r.query, "stale") {
				confirm++
			}
		}
		if confirm != 1 {
			t.Errorf("%d reads of the leader, want 1", confirm)
		}
	})
}

// An answer that is too old is read again from the leader, once; what says
// nothing about its age is not.
func TestWatchStale(t *testing.T) {
	for name, tt := range map[string]struct {
		header map[string]string
		again  bool
	}{
		"fresh":            {map[string]string{"X-Consul-LastContact": "20", "X-Consul-KnownLeader": "true"}, false},
		"old":              {map[string]string{"X-Consul-LastContact": "60000", "X-Consul-KnownLeader": "true"}, true},
		"no leader":        {map[string]string{"X-Consul-LastContact": "0", "X-Consul-KnownLeader": "false"}, true},
		"silent":           {nil, false},
		"only leader":      {map[string]string{"X-Consul-KnownLeader": "false"}, false},
		"malformed":        {map[string]string{"X-Consul-LastContact": "x", "X-Consul-KnownLeader": "false"}, false},
		"streaming, false": {map[string]string{"X-Consul-LastContact": "0", "X-Consul-KnownLeader": "false", "X-Consul-Query-Backend": "streaming"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, leaderUp := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					f := newFake(t)
					f.script = func(w http.ResponseWriter, r *http.Request) {
						q := r.URL.Query()
						if q.Has("index") {
							f.await(r)
						}
						if !q.Has("stale") {
							if !leaderUp {
								http.Error(w, "No cluster leader", http.StatusInternalServerError)
								return
							}
							answer(w, 12, []*api.ServiceEntry{entry("new", "10.0.0.2", 80, api.HealthPassing)})
							return
						}
						for k, v := range tt.header {
							w.Header().Set(k, v)
						}
						w.Header().Set("X-Consul-Index", "11")
						_, _ = io.WriteString(w, `[{"Node":{"Address":"10.0.0.1"},"Service":{"ID":"old","Port":80}}]`)
					}
					var log strings.Builder
					b := f.open(consul.Config{}, consul.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
					w := watch(t, b, "web")
					time.Sleep(time.Minute)
					want, reads := "10.0.0.1:80", 0
					if tt.again {
						reads = 1
						if leaderUp {
							want = "10.0.0.2:80"
						}
					}
					if got := w.addrs(); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
					n := 0
					for _, r := range f.requests("health") {
						if !strings.Contains(r.query, "stale") {
							n++
						}
					}
					if n != reads {
						t.Errorf("%d reads of the leader, want %d", n, reads)
					}
					if got := strings.Count(log.String(), "too old"); got != reads {
						t.Errorf("%d records of an answer that is too old, want %d", got, reads)
					}
				})
			}
		})
	}
}

// A Consul that restarts empty shows its instances one after the other.
func TestWatchSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.put("web", "a", "10.0.0.1:80")
		f.put("web", "b", "10.0.0.2:80")
		f.put("web", "c", "10.0.0.3:80")
		w := watch(t, f.open(consul.Config{}), "web")
		time.Sleep(5 * time.Second)
		all := w.addrs()

		f.net.setDown(true)
		f.forget()
		time.Sleep(3 * time.Second)
		f.net.setDown(false)
		time.Sleep(5 * time.Second)
		if got := w.addrs(); got != all {
			t.Errorf("empty after the restart: got %q, want %q", got, all)
		}
		f.put("web", "b", "10.0.0.2:80")
		f.put("web", "a2", "10.0.0.1:80") // the same copy under a new ID
		time.Sleep(3 * time.Second)
		if got, want := w.addrs(), "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80"; got != want {
			t.Errorf("two of three are back: got %q, want %q", got, want)
		}
		f.set(func(f *fake) { delete(f.services, "b"); f.moved() })
		time.Sleep(3 * time.Second)
		if got, want := w.addrs(), "10.0.0.1:80 10.0.0.3:80"; got != want {
			t.Errorf("one was back and left: got %q, want %q", got, want)
		}
		time.Sleep(30 * time.Second)
		if got, want := w.addrs(), "10.0.0.1:80"; got != want {
			t.Errorf("after the period got %q, want %q", got, want)
		}
	})
}

func TestWatchSettleOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.put("web", "a", "10.0.0.1:80")
		f.put("web", "b", "10.0.0.2:80")
		w := watch(t, f.open(consul.Config{Settle: -1}), "web")
		time.Sleep(time.Second)
		f.net.setDown(true)
		f.set(func(f *fake) { delete(f.services, "a") })
		f.net.setDown(false)
		time.Sleep(5 * time.Second)
		if got, want := w.addrs(), "10.0.0.2:80"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Many callers share one read through a Directory, go-kratos/kratos#3511.
func TestDirectorySharesRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.put("web", "a", "10.0.0.1:80")
		dir := discovery.NewDirectory(f.open(consul.Config{}))
		t.Cleanup(func() { dir.Close() })
		for range 200 {
			s, err := dir.Subscribe("web")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if snap, err := s.Wait(t.Context()); err != nil || len(snap.Instances) != 1 {
				t.Fatalf("got %v, %v", snap, err)
			}
		}
		time.Sleep(30 * time.Second)
		f.set(func(f *fake) {
			if f.most > 1 {
				t.Errorf("%d reads at the same time, want 1", f.most)
			}
		})
		from := time.Now()
		f.set(func(f *fake) {
			f.script = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "too many", http.StatusTooManyRequests) }
			f.moved() // the read under way is answered, the next one refused
		})
		time.Sleep(10 * time.Second)
		if n := f.busiestSecond("health", from); n > 2 {
			t.Errorf("%d reads in a second of refusals, want 2 at most", n)
		}
		s, _ := dir.Subscribe("web")
		defer s.Close()
		if snap := s.Current(); snap.Err == nil || len(snap.Instances) != 1 {
			t.Errorf("during refusals: error %v, %d instances; want an error and the last list", snap.Err, len(snap.Instances))
		}
		for _, r := range f.requests("health") {
			if r.path != "/v1/health/service/web" {
				t.Errorf("read %s, which nobody asked for", r.path)
			}
		}
	})
}

func TestWatchParameters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		watch(t, f.open(consul.Config{
			Datacenter: "east", Namespace: "team", Partition: "part", Tags: []string{"blue", "new"},
			Token: "s3cret", OnlyPassing: true, Wait: duration.Duration(time.Minute),
		}), "web")
		time.Sleep(time.Second)
		all := f.requests("health")
		if len(all) != 2 {
			t.Fatalf("%d reads, want one for the list and one that blocks", len(all))
		}
		for i, want := range []string{
			"dc=east&ns=team&partition=part&passing=1&stale=&tag=blue&tag=new",
			"dc=east&index=10&ns=team&partition=part&passing=1&stale=&tag=blue&tag=new&wait=60000ms",
		} {
			if all[i].query != want || all[i].token != "s3cret" {
				t.Errorf("read %d: got %s with token %q, want %s", i, all[i].query, all[i].token, want)
			}
		}
	})
}

func TestWatchBadName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		b := f.open(consul.Config{})
		for _, name := range []string{"", "../kv/secret", "web?dc=other", "web/", "a b", "ü"} {
			w := watch(t, b, name)
			<-w.done
			if _, errs := w.counts(); errs != 1 || !errors.Is(w.lastError(), discovery.ErrBadName) {
				t.Errorf("%q: %d errors, %v; want ErrBadName once", name, errs, w.lastError())
			}
		}
		if n := len(f.requests("")); n != 0 {
			t.Errorf("%d requests for bad names, want none", n)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		b := f.open(consul.Config{})
		canceled, broken, closed := watch(t, b, "web"), make(chan struct{}), watch(t, b, "web")
		go func() {
			defer close(broken)
			for range b.Watch(context.Background(), "web") {
				break
			}
		}()
		time.Sleep(time.Second)
		<-broken
		canceled.cancel()
		synctest.Wait() // no time passes
		select {
		case <-canceled.done:
		default:
			t.Error("a watch goes on after its context ended")
		}
		b.Close()
		synctest.Wait()
		select {
		case <-closed.done:
		default:
			t.Error("a watch goes on after Close")
		}
		late := watch(t, b, "web")
		<-late.done
		if !errors.Is(late.lastError(), discovery.ErrClosed) {
			t.Errorf("watch after Close: %v, want ErrClosed", late.lastError())
		}
		if err := b.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestWatchSkipsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.put("web", "a", "10.0.0.1:80")
		f.put("web", "b", "10.0.0.1:0")
		var log strings.Builder
		w := watch(t, f.open(consul.Config{}, consul.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))), "web")
		for i := range 5 {
			time.Sleep(5 * time.Second)
			f.put("web", fmt.Sprint("n", i), fmt.Sprintf("10.0.1.%d:80", i))
		}
		time.Sleep(time.Second)
		if lists, errs := w.counts(); lists != 6 || errs != 0 || strings.Contains(w.addrs(), ":0") {
			t.Errorf("%d lists, %d errors, last %q", lists, errs, w.addrs())
		}
		if n := strings.Count(log.String(), "skipped"); n != 1 {
			t.Errorf("%d records of the entry without a port, want 1:\n%s", n, log.String())
		}
	})
}
