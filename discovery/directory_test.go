package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
)

// An answer is one thing that a scripted resolver yields.
type answer struct {
	list []discovery.Instance
	err  error
}

// script is a Resolver that yields what a test sends on say.
type script struct {
	say     chan answer
	started atomic.Int32
	open    atomic.Int32
}

func newScript() *script { return &script{say: make(chan answer)} }

func (s *script) Watch(ctx context.Context, _ string) iter.Seq2[[]discovery.Instance, error] {
	return func(yield func([]discovery.Instance, error) bool) {
		s.started.Add(1)
		s.open.Add(1)
		defer s.open.Add(-1)
		for {
			select {
			case a, ok := <-s.say:
				if !ok || !yield(a.list, a.err) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// list makes instances of "pricing", one for each ID.
func list(ids ...string) []discovery.Instance {
	out := make([]discovery.Instance, 0, len(ids))
	for i, id := range ids {
		out = append(out, discovery.Instance{
			ID: id, Service: "pricing", Addr: fmt.Sprintf("127.0.0.1:%d", 9000+i),
			Tags: []string{"t"}, Meta: map[string]string{"k": "v"},
		})
	}
	return out
}

func ids(l []discovery.Instance) string {
	var out []string
	for _, in := range l {
		out = append(out, in.ID)
	}
	return strings.Join(out, " ")
}

func subscribe(t *testing.T, d *discovery.Directory, service string) *discovery.Subscription {
	t.Helper()
	s, err := d.Subscribe(service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// inBubble runs test in a synctest bubble with a directory on a script.
func inBubble(t *testing.T, test func(*testing.T, *script, *discovery.Directory), opts ...discovery.DirectoryOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newScript()
		d := discovery.NewDirectory(r, opts...)
		defer func() {
			if err := d.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if n := r.open.Load(); n != 0 {
				t.Errorf("%d watches open after Close", n)
			}
		}()
		test(t, r, d)
	})
}

func TestDirectorySharesOneWatch(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		synctest.Wait()
		if n := r.started.Load(); n != 0 {
			t.Fatalf("%d watches before anybody asked", n)
		}
		var wg sync.WaitGroup
		for range 200 {
			s := subscribe(t, d, "pricing")
			wg.Go(func() {
				if snap, err := s.Wait(t.Context()); err != nil || ids(snap.Instances) != "a b" {
					t.Errorf("Wait = %v, %v", snap, err)
				}
			})
		}
		synctest.Wait()
		r.say <- answer{list: list("b", "a")}
		wg.Wait()
		if n := r.started.Load(); n != 1 {
			t.Errorf("%d watches for one service, want 1", n)
		}
	})
}

func TestDirectoryVersions(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		s := subscribe(t, d, "pricing")
		if s.Current() != nil {
			t.Fatal("a snapshot before the first answer")
		}
		errDown := errors.New("down")
		for _, step := range []struct {
			name    string
			say     answer
			want    string
			version uint64
			err     error
			woken   bool
		}{
			{"first", answer{list: list("a", "b")}, "a b", 1, nil, true},
			{"same in another order", answer{list: []discovery.Instance{list("a", "b")[1], list("a", "b")[0]}}, "a b", 1, nil, false},
			{"grows", answer{list: list("a", "b", "c")}, "a b c", 2, nil, true},
			{"fails", answer{err: errDown}, "a b c", 2, errDown, true},
			{"recovers unchanged", answer{list: list("a", "b", "c")}, "a b c", 2, nil, true},
			{"shrinks", answer{list: list("a")}, "a", 3, nil, true},
		} {
			time.Sleep(time.Second)
			changed := s.Changed()
			r.say <- step.say
			synctest.Wait()
			snap := s.Current()
			if ids(snap.Instances) != step.want || snap.Version != step.version || !errors.Is(snap.Err, step.err) {
				t.Errorf("%s: got %q version %d err %v", step.name, ids(snap.Instances), snap.Version, snap.Err)
			}
			select {
			case <-changed:
				if !step.woken {
					t.Errorf("%s: subscribers were woken", step.name)
				}
			default:
				if step.woken {
					t.Errorf("%s: subscribers were not woken", step.name)
				}
			}
			if step.err == nil && !snap.Updated.Equal(time.Now()) {
				t.Errorf("%s: updated %v, want now", step.name, snap.Updated)
			}
		}
	})
}

func TestDirectoryKeepsTheLastGoodList(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		s := subscribe(t, d, "pricing")
		r.say <- answer{list: list("a")}
		time.Sleep(72 * time.Hour) // silence is no sign of age
		errDown := errors.New("down")
		for i := range 3 {
			r.say <- answer{err: errDown}
			synctest.Wait()
			snap := s.Current()
			if got, want := snap.Age(time.Now()), time.Duration(i)*time.Hour; got != want || ids(snap.Instances) != "a" {
				t.Errorf("failure %d: age %v of %q, want %v", i, got, ids(snap.Instances), want)
			}
			time.Sleep(time.Hour)
		}
		r.say <- answer{list: list("a")}
		synctest.Wait()
		if snap := s.Current(); snap.Age(time.Now()) != 0 || snap.Err != nil {
			t.Errorf("after recovery: %+v", snap)
		}
	})
}

func TestDirectoryDoubtsAnEmptyAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		s := subscribe(t, d, "pricing")
		check := func(when, want string, err error) {
			t.Helper()
			synctest.Wait()
			snap := s.Current()
			if ids(snap.Instances) != want || !errors.Is(snap.Err, err) || (err == nil) != (snap.Err == nil) {
				t.Errorf("%s: %q, err %v; want %q, %v", when, ids(snap.Instances), snap.Err, want, err)
			}
		}
		empty := answer{list: []discovery.Instance{}}
		r.say <- empty
		check("empty at first", "", nil)
		r.say <- answer{list: list("a", "b")}
		r.say <- empty
		check("all gone", "a b", discovery.ErrVanished)
		time.Sleep(9 * time.Second)
		check("within the grace", "a b", discovery.ErrVanished)
		r.say <- answer{list: list("b")}
		check("one is back", "b", nil)
		time.Sleep(time.Minute)
		check("much later", "b", nil)

		r.say <- empty
		time.Sleep(9 * time.Second)
		r.say <- answer{err: context.DeadlineExceeded}
		time.Sleep(time.Hour)
		check("the registry failed in the grace", "b", context.DeadlineExceeded)
		r.say <- empty
		time.Sleep(9 * time.Second)
		check("a new grace", "b", discovery.ErrVanished)
		time.Sleep(2 * time.Second)
		check("the grace is over", "", nil)
		if s.Current().Instances == nil {
			t.Error("an empty list is nil")
		}
	}, discovery.WithEmptyGrace(10*time.Second))
}

func TestDirectoryWithoutGrace(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		s := subscribe(t, d, "pricing")
		r.say <- answer{list: list("a")}
		r.say <- answer{list: nil}
		synctest.Wait()
		if snap := s.Current(); len(snap.Instances) != 0 || snap.Instances == nil || snap.Err != nil {
			t.Errorf("got %+v, want an empty list at once", snap)
		}
	}, discovery.WithEmptyGrace(0))
}

func TestDirectoryStopsWhenIdle(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		s := subscribe(t, d, "pricing")
		r.say <- answer{list: list("a")}
		s.Close()
		time.Sleep(59 * time.Second)
		s = subscribe(t, d, "pricing") // in time
		synctest.Wait()
		if s.Current() == nil {
			t.Error("the list was forgotten too early")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := r.open.Load(); n != 1 {
			t.Fatalf("%d watches open while subscribed", n)
		}
		s.Close()
		s.Close() // counts once
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := r.open.Load(); n != 0 {
			t.Fatalf("%d watches open when idle", n)
		}
		if len(d.Snapshots()) != 0 {
			t.Error("an idle service is still remembered")
		}
		again := subscribe(t, d, "pricing")
		r.say <- answer{list: list("b")}
		if snap, err := again.Wait(t.Context()); err != nil || ids(snap.Instances) != "b" {
			t.Errorf("after idling: %v, %v", snap, err)
		}
	}, discovery.WithIdle(time.Minute))
}

func TestDirectoryWait(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		s := subscribe(t, d, "pricing")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no answer: %v", err)
		}
		errDown := errors.New("registry down")
		r.say <- answer{err: errDown}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDown) {
			t.Errorf("registry down: %v", err)
		}
		if s.Current() != nil {
			t.Error("a failure made a snapshot")
		}
		done := make(chan error)
		go func() {
			_, err := s.Wait(t.Context())
			done <- err
		}()
		synctest.Wait()
		_ = d.Close()
		if err := <-done; !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestDirectoryRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		if _, err := d.Subscribe("../kv"); !errors.Is(err, discovery.ErrBadName) {
			t.Errorf("bad name: %v", err)
		}
		for _, err := range d.Watch(t.Context(), "a b") {
			if !errors.Is(err, discovery.ErrBadName) {
				t.Errorf("watch of a bad name: %v", err)
			}
		}
		_ = d.Close()
		_ = d.Close()
		if _, err := d.Subscribe("pricing"); !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if n := r.started.Load(); n != 0 {
			t.Errorf("%d watches started", n)
		}
	})
}

func TestDirectoryOutlivesItsResolver(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		s := subscribe(t, d, "pricing")
		r.say <- answer{list: list("a")}
		close(r.say)
		synctest.Wait()
		if snap := s.Current(); ids(snap.Instances) != "a" || !errors.Is(snap.Err, discovery.ErrClosed) {
			t.Errorf("got %+v, want the last list and ErrClosed", snap)
		}
		for range d.Watch(t.Context(), "pricing") {
			t.Error("a list from a resolver that has ended")
		}
	})
}

func TestDirectoryWatchYieldsTheLatest(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		turn := make(chan struct{})
		got := make(chan string)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(got)
			for l, err := range d.Watch(ctx, "pricing") {
				got <- fmt.Sprintf("%s %v", ids(l), err)
				<-turn
			}
		}()
		say := func(a answer) { r.say <- a; synctest.Wait() }
		read := func(want string) {
			t.Helper()
			if g := <-got; g != want {
				t.Errorf("got %q, want %q", g, want)
			}
		}
		errDown := errors.New("down")
		say(answer{list: list("a")})
		read("a <nil>")
		for i := range 50 { // nobody reads meanwhile, and nobody is held up
			say(answer{list: list(fmt.Sprint("n", i))})
		}
		turn <- struct{}{}
		read("n49 <nil>")
		turn <- struct{}{}
		say(answer{list: list("n49")}) // unchanged: not yielded
		say(answer{err: errDown})
		read(" down")
		turn <- struct{}{}
		say(answer{err: errDown})
		read(" down")
		turn <- struct{}{}
		say(answer{list: list("n49")}) // unchanged, but an error came between
		read("n49 <nil>")
		cancel()
		turn <- struct{}{}
		if _, ok := <-got; ok {
			t.Error("yielded after ctx had ended")
		}
	})
}

func TestDirectoryObserver(t *testing.T) {
	o := &recorder{}
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		s := subscribe(t, d, "pricing")
		errDown := errors.New("down")
		for _, a := range []answer{{list: list("a", "b")}, {list: list("a", "b")}, {err: errDown}, {list: list("a", "b")}, {list: nil}} {
			r.say <- a
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		s.Close()
		_ = d.Close()
		want := []string{"pricing 2", "pricing down", "pricing 2", "pricing " + discovery.ErrVanished.Error(), "pricing 0", "pricing stop"}
		if !slices.Equal(o.calls, want) {
			t.Errorf("got %q\nwant %q", o.calls, want)
		}
	}, discovery.WithObserver(o))
}

type recorder struct{ calls []string }

func (r *recorder) Update(s string, n int)    { r.calls = append(r.calls, fmt.Sprint(s, " ", n)) }
func (r *recorder) Error(s string, err error) { r.calls = append(r.calls, s+" "+err.Error()) }
func (r *recorder) Stop(s string)             { r.calls = append(r.calls, s+" stop") }

// TestDirectoryChurn subscribes and leaves at random moments: before the first
// answer, while the registry is silent, and twice.
func TestDirectoryChurn(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		for i := range 1000 {
			s, err := d.Subscribe(fmt.Sprint("s", i%7))
			if err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Millisecond)
			}
			s.Close()
			if i%5 == 0 {
				s.Close()
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := r.open.Load(); n != 0 {
			t.Errorf("%d watches left", n)
		}
	}, discovery.WithIdle(time.Second))
}

// TestDirectoryScribblers has users ruin the lists that Watch gave them while
// others read snapshots; under -race any sharing shows.
func TestDirectoryScribblers(t *testing.T) {
	r := newScript()
	d := discovery.NewDirectory(r)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for l := range d.Watch(ctx, "pricing") {
				for i := range l {
					l[i].Tags[0] = "scribble"
					l[i].Meta["k"] = "scribble"
					l[i] = discovery.Instance{}
				}
				slices.Reverse(l)
				_ = append(l[:0], discovery.Instance{ID: "wrong"})
			}
		})
		wg.Go(func() {
			s, err := d.Subscribe("pricing")
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for ctx.Err() == nil {
				snap := s.Current()
				if snap == nil {
					continue
				}
				for _, in := range snap.Instances {
					if in.ID == "" || in.Tags[0] != "t" || in.Meta["k"] != "v" {
						t.Errorf("scribbled on: %+v", in)
						return
					}
				}
			}
		})
	}
	for i := range 300 {
		r.say <- answer{list: list("a", "b", fmt.Sprint("c", i))}
	}
	cancel()
	wg.Wait()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestDirectoryIgnoresStuckUsers changes the list while one user never reads
// and others come and go.
func TestDirectoryIgnoresStuckUsers(t *testing.T) {
	inBubble(t, func(t *testing.T, r *script, d *discovery.Directory) {
		stuck := make(chan struct{})
		entered := make(chan struct{})
		var once sync.Once
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			for range d.Watch(ctx, "pricing") {
				once.Do(func() { close(entered) })
				<-stuck
			}
		})
		s := subscribe(t, d, "pricing")
		r.say <- answer{list: list("start")}
		<-entered
		for i := range 50 {
			other := subscribe(t, d, "pricing")
			r.say <- answer{list: list(fmt.Sprint("n", i))}
			other.Close()
		}
		synctest.Wait()
		if got := ids(s.Current().Instances); got != "n49" {
			t.Errorf("got %q, want n49", got)
		}
		cancel()
		close(stuck)
		wg.Wait()
	})
}
