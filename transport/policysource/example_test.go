package policysource_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gabion-go/gabion/discovery/static"
	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/policysource"
)

func ExampleFollower() {
	dir, err := os.MkdirTemp("", "policies")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "policies.json")
	text := `{"services": {"pricing": {"timeout": "500ms"}}}`
	registry, err1 := static.New(nil)
	client, err2 := transport.NewClient(registry)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil || err1 != nil || err2 != nil {
		fmt.Println(err, err1, err2)
		return
	}
	defer func() { _ = client.Close() }()

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	f := policysource.NewFollower(policysource.File(path), client, nil)
	go func() { ended <- f.Run(ctx) }()
	<-f.First() // from here on calls go by the file
	fmt.Println(client.PolicyFor("pricing").Timeout)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// 500ms
	// <nil>
}
