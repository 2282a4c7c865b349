package feed_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/internal/feed"
)

func list(addrs ...string) []discovery.Instance {
	var out []discovery.Instance
	for _, a := range addrs {
		out = append(out, discovery.Instance{ID: a, Service: "s", Addr: a})
	}
	return out
}

// record keeps what a watch yields as one text for each list.
func record(ctx context.Context, f *feed.Feed, out *[]string) (ended chan struct{}) {
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		for l := range f.Watch(ctx, "s") {
			s := ""
			for _, in := range l {
				s += in.ID
			}
			*out = append(*out, s)
		}
	}()
	return ended
}

func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New()
		var got []string
		ended := record(t.Context(), f, &got)
		for _, l := range [][]discovery.Instance{nil, list("a"), list("a"), list("b", "a"), list("a", "b"), nil} {
			f.Set("s", l)
			synctest.Wait()
		}
		if want := "[a ab ]"; fmt.Sprint(got) != want {
			t.Errorf("got %q, want %s", got, want)
		}
		f.Close()
		f.Close()
		<-ended
	})
}

// TestFeedSettles holds an empty list back until it is known to be true.
func TestFeedSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := feed.New()
		ctx, cancel := context.WithCancel(t.Context())
		var early []string
		ended := record(ctx, f, &early)
		time.Sleep(time.Minute)
		if len(early) != 0 {
			t.Errorf("got %q before anything was known", early)
		}
		f.Settle()
		f.Settle()
		synctest.Wait()
		if len(early) != 1 || early[0] != "" {
			t.Errorf("got %q, want an empty list", early)
		}
		cancel()
		<-ended
	})
}

func TestFeedRefusesBadNames(t *testing.T) {
	n := 0
	for l, err := range feed.New().Watch(t.Context(), "a/b") {
		n++
		if l != nil || !errors.Is(err, discovery.ErrBadName) {
			t.Errorf("got %v, %v", l, err)
		}
	}
	if n != 1 {
		t.Errorf("yielded %d times", n)
	}
}
