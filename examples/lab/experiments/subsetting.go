package experiments

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gabion-go/gabion/examples/lab/bench"
	subsets "github.com/gabion-go/gabion/transport/balance/subset"
)

// Subsetting counts how evenly the connections of many clients lie on servers
// if each client keeps to a few of them.
func Subsetting() bench.Experiment {
	return bench.Experiment{
		Name:  "subsetting",
		Title: "each of 300 clients keeps to a few of 300 servers",
		About: `
Each client connects to some of the servers. fewest and most are the connections of the
servers with the fewest and the most, min_of_mean and max_of_mean the same as a part of the mean;
changed_per_client and most_changed say how many connections a client must change when one of
the servers leaves: on average over all clients and every server that could be the one, and at most.

random draws a subset for each client, and when a server leaves draws for that place alone.
deterministic is the book's algorithm: clients in rounds, each round deals out one shuffled list.
rendezvous takes the servers whose hash with the client is largest. These are the lab's, by the book.
gabion is package subset for clients that know which of how many they are, gabion-name the same for
clients that know their names only, which is rendezvous hashing.

Extremes of 300 servers are two draws from the tails, so those of random, rendezvous and
gabion-name differ from the published ones as much as from another seed's.
Deterministic subsets are even as published, and nearly all change when a server leaves, because
another list is shuffled; 295 clients do not fill the last round, so some servers have one fewer.
gabion is as even, and a client changes one server at most. A quarter to a half of the clients do,
for places on its circle move; with rendezvous only those do that lost one.`,
		Takes:     10 * time.Second,
		Policies:  []string{"random", "deterministic", "rendezvous", "gabion", "gabion-name"},
		Published: publishedSubsetting(),
		Chart:     []string{"max_of_mean", "min_of_mean", "changed_per_client"},
		Run:       runSubsetting,
	}
}

func publishedSubsetting() []bench.Published {
	const book = `Wright, "Load Balancing in the Datacenter", in Beyer et al., Site Reliability Engineering, 2016, chapter 20`
	const ours = "our own first simulation of this, in another language, one seed"
	return []bench.Published{
		{Policy: "random", Variant: "90 of 300", Figures: "63 % to 121 % of the mean", Source: book},
		{Policy: "random", Variant: "90 of 300", Figures: "76 % to 120 % of the mean", Source: ours},
		{Policy: "random", Variant: "30 of 300", Figures: "50 % to 150 % of the mean", Source: book},
		{Policy: "random", Variant: "30 of 300", Figures: "60 % to 157 % of the mean", Source: ours},
		{Policy: "random", Variant: "10 of 300", Figures: "30 % to 210 % of the mean", Source: ours},
		{Policy: "deterministic", Variant: "10 of 300", Figures: "all servers have the same", Source: book},
		{Policy: "deterministic", Variant: "10 of 300, 295 clients", Figures: "9 or 10 connections; 9.48 change per client", Source: ours},
		{Policy: "deterministic", Variant: "3 of 12", Figures: "2 or 3 connections", Source: book},
		{Policy: "rendezvous", Variant: "10 of 300", Figures: "30 % to 210 % of the mean; 0.04 change per client, 1 at most", Source: ours},
		{Policy: "rendezvous", Variant: "30 of 300", Figures: "53 % to 153 % of the mean", Source: ours},
		{Policy: "rendezvous", Variant: "5 of 10", Figures: "98 % to 102 % of the mean", Source: ours},
	}
}

// subCase is one row: clients that each take size of servers.
type subCase struct {
	policy, variant        string
	clients, servers, size int
}

func subCases() []subCase {
	return []subCase{
		{"random", "90 of 300", 300, 300, 90},
		{"random", "30 of 300", 300, 300, 30},
		{"random", "10 of 300", 300, 300, 10},
		{"deterministic", "10 of 300", 300, 300, 10},
		{"deterministic", "10 of 300, 295 clients", 295, 300, 10},
		{"deterministic", "3 of 12", 10, 12, 3},
		{"rendezvous", "10 of 300", 300, 300, 10},
		{"rendezvous", "30 of 300", 300, 300, 30},
		{"rendezvous", "5 of 10", 2000, 10, 5},
		{"gabion", "10 of 300", 300, 300, 10},
		{"gabion", "10 of 300, 295 clients", 295, 300, 10},
		{"gabion", "3 of 12", 10, 12, 3},
		{"gabion-name", "10 of 300", 300, 300, 10},
	}
}

func runSubsetting(ctx context.Context, r bench.Run) ([]bench.Row, error) {
	var cases []subCase
	for _, c := range subCases() {
		if r.Has(c.policy) {
			cases = append(cases, c)
		}
	}
	return bench.Each(ctx, cases, func(ctx context.Context, c subCase) (bench.Row, error) {
		r.Tell("%s, %s", c.policy, c.variant)
		return c.row(ctx, r.Seed, r.Quick)
	})
}

// subset returns which of servers a client takes.
type subset func(seed uint64, client int, servers []int, size int) []int

// chooser returns how the clients choose.
func (c subCase) chooser(seed uint64) subset {
	addrs := addresses(seed, c.servers)
	return map[string]subset{
		"random": randomSubset, "deterministic": deterministicSubset, "rendezvous": rendezvousSubset,
		"gabion": gabionSubset(addrs, c.clients), "gabion-name": gabionSubset(addrs, 0),
	}[c.policy]
}

func (c subCase) row(ctx context.Context, seed uint64, quick bool) (bench.Row, error) {
	choose := c.chooser(seed)
	all := make([]int, c.servers)
	for i := range all {
		all[i] = i
	}
	connections := make([]int, c.servers)
	before := make([][]int, c.clients)
	for i := range before {
		before[i] = choose(seed, i, all, c.size)
		for _, s := range before[i] {
			connections[s]++
		}
	}
	least, most := slices.Min(connections), slices.Max(connections)
	mean := float64(c.clients*c.size) / float64(c.servers)
	row := bench.Row{Policy: c.policy, Variant: c.variant}
	row.Add("fewest", float64(least))
	row.Add("most", float64(most))
	row.AddShare("min_of_mean", float64(least)/mean)
	row.AddShare("max_of_mean", float64(most)/mean)
	leaving := all
	if quick {
		leaving = all[:min(10, len(all))]
	}
	changed, atMost, err := c.churn(ctx, choose, seed, before, all, leaving)
	row.Add("changed_per_client", changed)
	row.Add("most_changed", atMost)
	return row, err
}

// churn lets each of leaving be the server that leaves, and returns how many
// connections a client changes.
func (c subCase) churn(ctx context.Context, choose subset, seed uint64, before [][]int, all, leaving []int) (mean, most float64, err error) {
	sum := 0
	for _, gone := range leaving {
		if err := ctx.Err(); err != nil {
			return 0, 0, fmt.Errorf("subsetting: %s: %w", c.policy, err)
		}
		left := slices.DeleteFunc(slices.Clone(all), func(s int) bool { return s == gone })
		for i, was := range before {
			if c.policy == "random" && !slices.Contains(was, gone) {
				continue // it keeps what it has
			}
			n := 1
			if c.policy != "random" {
				n = added(was, choose(seed, i, left, c.size))
			}
			sum += n
			most = max(most, float64(n))
		}
	}
	return float64(sum) / float64(len(leaving)*len(before)), most, nil
}

// added returns how many of now are not in was.
func added(was, now []int) int {
	n := 0
	for _, s := range now {
		if !slices.Contains(was, s) {
			n++
		}
	}
	return n
}

// randomSubset draws.
func randomSubset(seed uint64, client int, servers []int, size int) []int {
	r := rand.New(rand.NewPCG(seed, uint64(client)))
	list := slices.Clone(servers)
	for i := range size { // the beginning of a shuffle
		j := i + r.IntN(len(list)-i)
		list[i], list[j] = list[j], list[i]
	}
	return list[:size]
}

// deterministicSubset deals: as many clients as there are whole subsets share a
// round, and each round its own shuffled list.
func deterministicSubset(seed uint64, client int, servers []int, size int) []int {
	subsets := len(servers) / size
	r := rand.New(rand.NewPCG(seed, uint64(client/subsets)))
	list := slices.Clone(servers)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	first := client % subsets * size
	return list[first : first+size]
}

// rendezvousSubset takes the servers with the largest hashes. Source: Thaler
// and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM
// Transactions on Networking 6(1), 1998.
func rendezvousSubset(seed uint64, client int, servers []int, size int) []int {
	type scored struct {
		server int
		hash   uint64
	}
	list := make([]scored, len(servers))
	for i, s := range servers {
		list[i] = scored{s, rendezvousHash(seed, client, s)}
	}
	slices.SortFunc(list, func(a, b scored) int { return cmp.Compare(b.hash, a.hash) })
	chosen := make([]int, size)
	for i := range chosen {
		chosen[i] = list[i].server
	}
	return chosen
}

// rendezvousHash mixes its arguments as splitmix64 does. Source: Steele, Lea and
// Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
func rendezvousHash(seed uint64, client, server int) uint64 {
	var h uint64
	for _, x := range []uint64{seed, uint64(client), uint64(server)} {
		h = (h ^ x) + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// gabionSubset asks the library, for clients that know how many they are, or do
// not if that is 0.
func gabionSubset(addrs []string, clients int) subset {
	return func(_ uint64, client int, servers []int, size int) []int {
		list := make([]string, len(servers))
		for i, s := range servers {
			list[i] = addrs[s]
		}
		chosen := subsets.Choose(list, size, subsets.Client{ID: fmt.Sprint("client-", client), Ordinal: client, Count: clients})
		for i, x := range chosen {
			chosen[i] = servers[x]
		}
		return chosen
	}
}

// addresses returns those of n servers, other ones for each seed.
func addresses(seed uint64, n int) []string {
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = fmt.Sprintf("10.%d.%d.%d:8080", seed%256, i/250, i%250)
	}
	return addrs
}
