package cart

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabion-go/gabion/examples/shop/kit"
)

func TestAcknowledgedMeansOnBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		a, b := f.nodes[0], f.nodes[1]
		id := a.create()
		b.put(id, "mug", 2)
		a.put(id, "pot", 1)
		b.put(id, "mug", 3)
		for _, r := range f.nodes {
			c, err := r.store.Get(id)
			if err != nil || fmt.Sprint(c.Lines()) != "[{mug 3} {pot 1}]" {
				t.Errorf("got %v, %v", c.Lines(), err)
			}
		}
	})
}

func TestOneGoesOnWhileTheOtherIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		a, b := f.nodes[0], f.nodes[1]
		id := a.create()
		a.put(id, "mug", 2)
		a.shutdown()
		b.wantItems(id, "[{mug 2}]")
		b.put(id, "mug", 5)
		b.put(id, "pot", 1)
		b.must(200, "DELETE", "/carts/"+id+"/items/pot", "")
		other := b.create()
		a.start(false)
		if err := a.rep.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.wantItems(id, "[{mug 5}]")
		a.wantItems(other, "[]")
		a.put(id, "cup", 1) // and b gets what a is told
		b.wantItems(id, "[{cup 1} {mug 5}]")
	})
}

func TestBothSidesOfAPartitionMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		a, b := f.nodes[0], f.nodes[1]
		id := a.create()
		a.put(id, "mug", 1)
		f.partition(true)
		a.put(id, "mug", 2)
		a.put(id, "pot", 4)
		b.put(id, "mug", 7) // later than a's
		b.put(id, "cup", 1)
		onlyA := a.create()
		b.must(503, "GET", "/carts/"+onlyA, "") // b cannot know that there is no such cart
		f.partition(false)
		f.converge()
		for _, r := range f.nodes {
			r.wantItems(id, "[{cup 1} {mug 7} {pot 4}]")
			r.wantItems(onlyA, "[]")
		}
	})
}

func TestSilentPeerCostsNothingUntilItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false)
		a := f.nodes[0]
		release := make(chan struct{})
		hung := f.serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		t.Cleanup(hung.Close)
		t.Cleanup(func() { close(release) })
		peers := func() []Peer { return []Peer{{"hung", hung.URL}} }
		rep := NewReplicator(a.store, NewClock("a", Stamp{}, time.Now), peers, func() string { return "" }, a.client, a.rep.log)
		start := time.Now()
		for range 20 {
			rep.Push(t.Context(), cartOf("c1", 1, 1))
		}
		if d := time.Since(start); d != pushTimeout {
			t.Errorf("20 changes waited %v for a peer that hangs, want the first to wait %v", d, pushTimeout)
		}
		if len(pushesTo(rep)) != 0 {
			t.Error("the peer that hangs is still pushed to")
		}
		rep.Heard("hung", "")
		if len(pushesTo(rep)) != 1 {
			t.Error("the peer that asked for changes is not pushed to again")
		}
	})
}

// TestHeardWhileAnOldCallFails: a call to a peer's last life must not silence
// its next one.
func TestHeardWhileAnOldCallFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		a, b := f.nodes[0], f.nodes[1]
		err := a.rep.roster.ask(a.peers(), func(p Peer) error {
			a.rep.Heard(p.Store, b.server.URL)
			return errors.New("connection reset")
		})
		if err == nil || len(pushesTo(a.rep)) != 1 {
			t.Errorf("got %v and %v, want an error and the peer that came back", err, pushesTo(a.rep))
		}
	})
}

// TestCallersThatLeaveSilenceNobody: a request that is given up while a peer is
// asked says nothing about the peer.
func TestCallersThatLeaveSilenceNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		a := f.nodes[0]
		_ = a.rep.Fetch(gone, "c1")
		a.rep.Push(gone, cartOf("c1", 1, 1))
		if len(pushesTo(a.rep)) != 1 {
			t.Error("the peer is not pushed to any more")
		}
	})
}

func TestPushOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		f.nodes[0].rep.Push(gone, cartOf("c1", 1, 1))
		if _, err := f.nodes[1].store.Get("c1"); err != nil {
			t.Errorf("the peer was not told: %v", err)
		}
	})
}

func TestStaleAddressIsNotTakenForThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		a, b := f.nodes[0], f.nodes[1]
		b.create()
		peers := func() []Peer { return []Peer{{"somebody else", b.server.URL}} }
		rep := NewReplicator(a.store, NewClock("a", Stamp{}, time.Now), peers, func() string { return "" }, a.client, a.rep.log)
		if err := rep.Sync(t.Context()); err == nil {
			t.Error("got nil, want an error that names the store")
		}
		if n, err := a.store.Cursor("somebody else"); n != 0 || err != nil {
			t.Errorf("cursor: got %d, %v", n, err)
		}
	})
}

// TestPeersWithoutNames: static lists and DNS show addresses only, that of the
// replica itself among them.
func TestPeersWithoutNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		a, b := f.nodes[0], f.nodes[1]
		f.partition(true)
		id := b.create()
		f.partition(false)
		rep := NewReplicator(a.store, NewClock("a", Stamp{}, time.Now), func() []Peer {
			return []Peer{{URL: a.server.URL}, {URL: b.server.URL}, {URL: "http://127.0.0.1:1"}}
		}, a.self, a.client, a.rep.log)
		if err := rep.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.store.Get(id); err != nil {
			t.Errorf("the other's cart: %v", err)
		}
		if got := pushesTo(rep); len(got) != 1 || got[0] != (Peer{b.store.ID(), b.server.URL}) {
			t.Errorf("peers: got %v, want the other one", got)
		}
	})
}

func TestNewReplicaReadsTheWholeLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3, false)
		a, c := f.nodes[0], f.nodes[2]
		c.shutdown()
		var ids []string
		for range pullLimit + 3 { // more than one page
			cart := cartOf(newID(""), 1, 1)
			ids = append(ids, cart.ID)
			if err := a.rep.Merge([]Cart{cart}); err != nil {
				t.Fatal(err)
			}
		}
		c.start(false)
		if err := c.rep.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if _, err := c.store.Get(id); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
		}
	})
}

func TestCatchUpAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false)
		start := time.Now()
		if err := f.nodes[0].rep.CatchUp(t.Context()); err != nil {
			t.Errorf("a first replica alone: %v", err)
		}
		if d := time.Since(start); d < firstMeeting || d > firstMeeting+50*time.Millisecond {
			t.Errorf("a new store waited %v for peers, want about %v", d, firstMeeting)
		}
	})
}

func TestSameKeySameCartOnBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		f.partition(true)
		key := []string{"Idempotency-Key", "visit-1"}
		idA, idB := f.nodes[0].create(key...), f.nodes[1].create(key...)
		if idA != idB {
			t.Errorf("got %s and %s, want one cart", idA, idB)
		}
		if again := f.nodes[0].create(key...); again != idA {
			t.Errorf("repeated: got %s, want %s", again, idA)
		}
		if free := f.nodes[0].create(); free == idA || free == f.nodes[0].create() {
			t.Error("carts without a key are not distinct")
		}
		f.nodes[0].put(idA, "mug", 1)
		f.partition(false)
		f.converge()
		f.nodes[1].wantItems(idA, "[{mug 1}]")
	})
}

func TestCheckoutRaceMakesOneOrder(t *testing.T) {
	for name, keys := range map[string][]string{"one key": {"k1", "k1"}, "two keys": {"k1", "k2"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 2, false)
				id := f.nodes[0].create()
				f.nodes[0].put(id, "mug", 2)
				var mu sync.Mutex
				statuses, orders := map[int]int{}, map[string]bool{}
				var wg sync.WaitGroup
				for i := range 10 {
					wg.Go(func() {
						status, body := f.nodes[i%2].do("POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", keys[i%2])
						var o orderJSON
						mu.Lock()
						defer mu.Unlock()
						statuses[status]++
						if status < 300 {
							decode(t, body, &o)
							orders[o.Order] = true
						}
					})
				}
				wg.Wait()
				if f.market.orders() != 1 || len(orders) != 1 || statuses[201] != 1 {
					t.Errorf("%d orders made, %v told, statuses %v; want one order, one 201", f.market.orders(), orders, statuses)
				}
				wantOK := 10
				if name == "two keys" {
					wantOK = 5
				}
				if statuses[200]+statuses[201] != wantOK || statuses[409] != 10-wantOK {
					t.Errorf("statuses: %v", statuses)
				}
				for _, r := range f.nodes {
					if c, err := r.store.Get(id); err != nil || c.Order == nil {
						t.Errorf("a replica has no order: %+v, %v", c, err)
					}
					r.must(409, "PUT", "/carts/"+id+"/items/mug", `{"quantity":1}`)
				}
			})
		})
	}
}

// TestCheckoutRepeatedElsewhere: who was not told of an order is told when asking
// again, whatever has become of the cart meanwhile.
func TestCheckoutRepeatedElsewhere(t *testing.T) {
	for name, quantity := range map[string]int{"changed": 9, "emptied": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { repeatCheckout(t, quantity) })
		})
	}
}

func repeatCheckout(t *testing.T, quantity int) {
	t.Helper()
	f := newFleet(t, 2, false)
	a, b := f.nodes[0], f.nodes[1]
	id := a.create()
	a.put(id, "mug", 2)
	f.market.stockErr = &UnavailableError{"inventory", errors.New("cut off")} // after the order was made
	a.must(503, "POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "k1")
	f.market.stockErr = nil
	b.put(id, "mug", quantity) // the buyer changes what is already ordered
	var o orderJSON
	decode(t, b.must(200, "POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "k1"), &o)
	if fmt.Sprint(o.Lines) != "[{mug 2}]" || o.Total != kit.Euros(200) {
		t.Errorf("order: %+v, want what was reserved first", o)
	}
	a.shutdown()
	b.must(200, "POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "k1")
	b.must(409, "POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "k2")
	if n := f.market.orders(); n != 1 {
		t.Errorf("orders: got %d, want 1", n)
	}
}

// TestCheckoutSeesWhatOnlyThePeerKnows: a change whose push was lost is in the
// order all the same.
func TestCheckoutSeesWhatOnlyThePeerKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		a, b := f.nodes[0], f.nodes[1]
		id := a.create()
		f.partition(true)
		a.put(id, "mug", 2)
		f.partition(false)
		b.rep.Heard(a.store.ID(), a.server.URL)
		var o orderJSON
		decode(t, b.must(201, "POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "k1"), &o)
		if fmt.Sprint(o.Lines) != "[{mug 2}]" {
			t.Errorf("order: %+v", o)
		}
	})
}

// TestWhatAnOrderMayMiss: a change that was acknowledged is in every order that
// follows, but for one: the other replica was up and did not take the change in
// time, and takes the order when the first one does not answer. The cart has
// the change all the same.
func TestWhatAnOrderMayMiss(t *testing.T) {
	const all, part = "[{mug 2} {pot 1}]", "[{mug 2}]"
	answers := func(*replica) {}
	hangs := func(r *replica) { r.late.Store(int64(10 * pushTimeout)) }
	dies := (*replica).shutdown
	for name, tc := range map[string]struct {
		atChange func(b *replica)
		atOrder  func(a *replica)
		ahead    bool
		want     string
	}{
		"taken by both":              {answers, dies, false, all},
		"taken when back":            {dies, dies, false, all},
		"late, but can ask":          {hangs, answers, true, all},
		"late, and the other down":   {hangs, dies, true, part},
		"late, and the other silent": {hangs, hangs, true, part},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 2, false)
				a, b := f.nodes[0], f.nodes[1]
				id := a.create()
				a.put(id, "mug", 2)
				tc.atChange(b)
				a.put(id, "pot", 1)
				b.comeBack()
				if got := ahead(f.log.String())[id]; got != tc.ahead {
					t.Errorf("acknowledged before b had it: logged %v, want %v", got, tc.ahead)
				}
				tc.atOrder(a)
				var o orderJSON
				decode(t, b.must(201, "POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "k1"), &o)
				if got := fmt.Sprint(fromLinesJSON(o.Lines)); got != tc.want {
					t.Errorf("order: got %s, want %s", got, tc.want)
				}
				a.comeBack()
				f.converge()
				for _, r := range f.nodes {
					r.wantItems(id, all)
				}
			})
		})
	}
}

// comeBack ends what made the replica late or took it down.
func (r *replica) comeBack() {
	r.fleet.t.Helper()
	r.late.Store(0)
	if r.server != nil {
		return
	}
	r.start(false)
	if err := r.rep.CatchUp(r.fleet.t.Context()); err != nil {
		r.fleet.t.Fatal(err)
	}
}

// TestEmptyForAllItKnows: a replica that has nothing to check out says so only
// if all have been asked.
func TestEmptyForAllItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, false)
		a, b := f.nodes[0], f.nodes[1]
		filled, emptied, untouched := a.create(), a.create(), a.create()
		a.put(emptied, "mug", 1)
		a.put(emptied, "mug", 0)
		f.partition(true)
		a.put(filled, "mug", 2)
		a.put(emptied, "mug", 3)
		checkout := func(status int, id string) {
			t.Helper()
			b.must(status, "POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "checkout "+id)
		}
		checkout(503, filled)
		checkout(503, emptied) // the inventory was asked for an order of before
		checkout(503, untouched)
		f.partition(false)
		f.converge()
		checkout(201, filled)
		checkout(201, emptied)
		checkout(422, untouched)
	})
}

func TestChangeWaitsForACheckout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, false)
		a := f.nodes[0]
		id := a.create()
		a.put(id, "mug", 1)
		f.market.hold = make(chan struct{})
		done := make(chan int, 2)
		go func() {
			status, _ := a.do("POST", "/carts/"+id+"/checkout", "", "Idempotency-Key", "k1")
			done <- status
		}()
		<-f.market.hold // the checkout is at the inventory
		go func() {
			status, _ := a.do("PUT", "/carts/"+id+"/items/mug", `{"quantity":2}`)
			done <- status
		}()
		eventually(t, "the change waits", func() bool {
			a.carts.busy.mu.Lock()
			defer a.carts.busy.mu.Unlock()
			turn := a.carts.busy.held[id]
			return turn != nil && turn.users == 2
		})
		<-f.market.hold
		if first, second := <-done, <-done; min(first, second) != 201 || max(first, second) != 409 {
			t.Errorf("got %d and %d, want the order and then 409", first, second)
		}
		if n := len(a.carts.busy.held); n != 0 {
			t.Errorf("%d locks are left", n)
		}
	})
}

// TestWithoutAnybodyAsking: what the push missed comes by itself.
func TestWithoutAnybodyAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2, true)
		a, b := f.nodes[0], f.nodes[1]
		f.partition(true)
		id := a.create()
		a.put(id, "mug", 2)
		f.partition(false)
		eventually(t, "b has the cart", func() bool {
			c, err := b.store.Get(id)
			return err == nil && len(c.Lines()) == 1
		})
		eventually(t, "a pushes to b again", func() bool { return len(pushesTo(a.rep)) == 1 })
	})
}

// pushesTo returns the peers that rep pushes to.
func pushesTo(rep *Replicator) []Peer {
	peers, _ := rep.roster.answering()
	return peers
}

// eventually waits up to 10 s for something that other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
