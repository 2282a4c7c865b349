package inventory

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buyerEnv turns this test binary into a process that reserves for ever.
const buyerEnv = "SHOP_TEST_BUYER_STORE"

func TestMain(m *testing.M) {
	if path := os.Getenv(buyerEnv); path != "" {
		fmt.Fprintln(os.Stderr, buy(path, os.Args[len(os.Args)-1]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// buy reserves one mug after the other and prints each order once it is
// acknowledged.
func buy(path, name string) error {
	s, err := OpenStore(context.Background(), path, nil)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", name, i)
		res, _, err := s.Reserve(context.Background(), request("cart-"+id, "key-"+id, Line{"mug", 1}))
		if err != nil {
			return err
		}
		fmt.Println(id, res.Order)
	}
}

// Two processes reserve until they are killed in the middle of it. Everything
// they acknowledged is there, and stock and orders agree.
func TestAcknowledgedReservationsSurviveKill(t *testing.T) {
	const seeded = 1_000_000
	path := filepath.Join(t.TempDir(), "inventory.db")
	s := openStore(t, path, Stock{"mug", seeded})
	acked := map[string]string{}
	for round := range 3 {
		maps.Copy(acked, killTwoBuyers(t, path, round))
	}
	for id, order := range acked {
		res, created, err := s.Reserve(t.Context(), request("cart-"+id, "key-"+id, Line{"mug", 1}))
		if err != nil || created || res.Order != order {
			t.Fatalf("order %s of %s was acknowledged; now %q, created %v, %v", order, id, res.Order, created, err)
		}
	}
	var orders int
	if err := s.db.QueryRow(t.Context(), "SELECT count(*) FROM reservations").Scan(&orders); err != nil {
		t.Fatal(err)
	}
	if left := available(t, s, "mug"); orders < len(acked) || left != seeded-orders {
		t.Errorf("%d acknowledged, %d orders, %d left of %d", len(acked), orders, left, seeded)
	}
	t.Logf("%d orders, %d acknowledged before their process was killed", orders, len(acked))
}

// killTwoBuyers returns what two buyers said before they were killed: order
// numbers by ID.
func killTwoBuyers(t *testing.T, path string, round int) map[string]string {
	t.Helper()
	const each = 40
	acked := map[string]string{}
	read := func(lines *bufio.Scanner) bool {
		if !lines.Scan() {
			return false
		}
		id, order, _ := strings.Cut(lines.Text(), " ")
		if len(order) == len(newOrder()) { // the last line may be cut off
			acked[id] = order
		}
		return true
	}
	buyers := [2]*exec.Cmd{}
	lines := [2]*bufio.Scanner{}
	for i := range buyers {
		buyers[i], lines[i] = startBuyer(t, path, fmt.Sprintf("buyer%d.%d", round, i))
		for n := range each {
			if !read(lines[i]) {
				t.Fatalf("a buyer ended after %d reservations", n)
			}
		}
	}
	for i, cmd := range buyers {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		for read(lines[i]) {
		}
		if err := cmd.Wait(); err == nil {
			t.Error("a killed buyer ended well")
		}
	}
	return acked
}

func startBuyer(t *testing.T, path, name string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], name)
	cmd.Env = append(os.Environ(), buyerEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}
