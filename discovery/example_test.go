package discovery_test

import (
	"context"
	"fmt"
	"iter"

	"github.com/gabion-go/gabion/discovery"
)

// fixed is a Resolver whose list never changes.
type fixed []discovery.Instance

func (f fixed) Watch(ctx context.Context, _ string) iter.Seq2[[]discovery.Instance, error] {
	return func(yield func([]discovery.Instance, error) bool) {
		if yield(discovery.CloneList(f), nil) {
			<-ctx.Done()
		}
	}
}

func ExampleDirectory() {
	d := discovery.NewDirectory(fixed{
		{ID: "p1", Service: "pricing", Addr: "127.0.0.1:9001"},
		{ID: "p2", Service: "pricing", Addr: "127.0.0.1:9002"},
	})
	defer d.Close()

	s, err := d.Subscribe("pricing")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	snapshot, err := s.Wait(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, in := range snapshot.Instances {
		fmt.Println(in.ID, in.Addr)
	}
	// Output:
	// p1 127.0.0.1:9001
	// p2 127.0.0.1:9002
}

func ExampleOpeners_Open() {
	openers := discovery.Openers{} // scheme -> for example static.Open
	_, err := openers.Open(context.Background(), "consul://127.0.0.1:8500")
	fmt.Println(err)
	// Output:
	// discovery: unknown scheme "consul": have none
}
