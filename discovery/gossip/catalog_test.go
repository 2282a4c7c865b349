package gossip

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/internal/feed"
)

// listed returns the addresses of a service in c's feed.
func listed(t *testing.T, c *catalog, service string) string {
	t.Helper()
	for list := range c.feed.Watch(t.Context(), service) {
		var out []string
		for _, in := range list {
			out = append(out, in.ID+"="+in.Addr)
		}
		return strings.Join(out, " ")
	}
	t.Fatal("the watch ended")
	return ""
}

func says(node string, epoch, seq uint64, instances ...announced) record {
	return record{node: node, version: version{epoch, seq}, instances: instances}
}

func offer(service, id, addr string) announced {
	return announced{discovery.Instance{ID: id, Service: service, Addr: addr}, discovery.Passing}
}

func newTestCatalog() *catalog {
	f := feed.New()
	f.Settle()
	return newCatalog("self", f)
}

func join(c *catalog, nodes ...string) {
	for _, n := range nodes {
		c.joined(memberlist.Address{Name: n, Addr: "127.0.0.1:1"})
	}
}

func TestCatalogNewestWins(t *testing.T) {
	c := newTestCatalog()
	join(c, "a")
	for _, step := range []struct {
		r    record
		news int
		want string
	}{
		{says("a", 5, 2, offer("s", "x", "h:1")), 1, "x=h:1"},
		{says("a", 5, 1, offer("s", "x", "h:9")), 0, "x=h:1"}, // late
		{says("a", 5, 2, offer("s", "x", "h:9")), 0, "x=h:1"}, // again
		{says("a", 4, 9, offer("s", "x", "h:9")), 0, "x=h:1"}, // an earlier process
		{says("a", 5, 3), 1, ""},
		{says("a", 6, 1, offer("s", "x", "h:2")), 1, "x=h:2"}, // a later one
	} {
		if got := len(c.merge(step.r)); got != step.news {
			t.Errorf("%v: %d news, want %d", step.r, got, step.news)
		}
		if got := listed(t, c, "s"); got != step.want {
			t.Errorf("%v: listed %q, want %q", step.r, got, step.want)
		}
	}
}

func TestCatalogListsTheLiving(t *testing.T) { synctest.Test(t, listsTheLiving) }

func listsTheLiving(t *testing.T) {
	c := newTestCatalog()
	c.merge(says("a", 1, 1, offer("s", "x", "h:1")))
	if got := listed(t, c, "s"); got != "" {
		t.Errorf("listed %q before its node joined", got)
	}
	join(c, "a")
	if got := listed(t, c, "s"); got != "x=h:1" {
		t.Errorf("listed %q, though the record came before the node", got)
	}
	for range 20 { // declared dead again and again, and objects each time
		c.left("a")
		time.Sleep(secondOpinion * 9 / 10)
		if got := listed(t, c, "s"); got != "x=h:1" || c.members() != 1 {
			t.Errorf("listed %q while its death was in doubt", got)
		}
		join(c, "a")
	}
	c.left("a")
	time.Sleep(secondOpinion * 11 / 10)
	if got := listed(t, c, "s"); got != "" || c.members() != 0 {
		t.Errorf("listed %q after its node died", got)
	}
	join(c, "a") // it was stopped, not dead
	if got := listed(t, c, "s"); got != "x=h:1" {
		t.Errorf("listed %q after its node came back", got)
	}
	sick := offer("s", "x", "h:1")
	sick.status = discovery.Critical
	c.merge(says("a", 1, 2, sick))
	if got := listed(t, c, "s"); got != "" {
		t.Errorf("listed %q though critical", got)
	}
	c.merge(says("a", 1, 3))
	c.left("a") // in order: no doubt
	if c.members() != 0 {
		t.Error("a node that took its instances out is still a member")
	}
	c.joined(memberlist.Address{Name: "a"})
	c.merge(says("a", 1, 4, offer("s", "x", "h:1")))
	c.left("a")
	c.close() // leaves no timer to the bubble
}

// TestCatalogClaims restarts processes before the old ones are missed.
func TestCatalogClaims(t *testing.T) { synctest.Test(t, restartsQuickly) }

func restartsQuickly(t *testing.T) {
	c := newTestCatalog()
	join(c, "old", "new", "other")
	c.merge(says("old", 1, 1, offer("s", "stable", "h:1"), offer("s", "x", "h:2"), offer("s", "y", "h:3")))
	c.merge(says("new", 2, 1, offer("s", "stable", "h:9"), offer("s", "z", "h:2")))
	if got, want := listed(t, c, "s"), "stable=h:9 y=h:3 z=h:2"; got != want {
		t.Errorf("listed %q, want %q", got, want)
	}
	c.merge(says("other", 3, 1, offer("cart", "c", "h:3"))) // another service has the port now
	if got, want := listed(t, c, "s"), "stable=h:9 z=h:2"; got != want {
		t.Errorf("listed %q, want %q", got, want)
	}
	c.left("other")
	c.left("new")
	time.Sleep(secondOpinion * 11 / 10)
	if got, want := listed(t, c, "s"), "stable=h:1 x=h:2 y=h:3"; got != want {
		t.Errorf("listed %q, want %q", got, want)
	}
}

func TestCatalogForgets(t *testing.T) {
	c := newTestCatalog()
	join(c, "a")
	for i := range 2 * maxGone {
		c.merge(says(fmt.Sprint("stranger", i), 1, 1))
	}
	if n := len(c.nodes); n > maxGone+1 {
		t.Errorf("%d nodes kept of strangers", n)
	}
	c.nodes["stranger"] = &node{since: time.Now().Add(-2 * keepGone)}
	c.node("one more")
	if c.nodes["stranger"] != nil {
		t.Error("a node is remembered that was gone for long")
	}
	if c.nodes["a"] == nil || len(c.records()) != 0 {
		t.Error("the living were forgotten, or the dead are told of")
	}
}
