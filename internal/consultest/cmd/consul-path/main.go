// Command consul-path prints the path of the consul program that the tests
// use, after building it if need be:
//
//	consul=$(go run ./internal/consultest/cmd/consul-path)
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/gabion-go/gabion/internal/consultest"
)

// limit is far above what a build takes on the slowest machine.
const limit = time.Hour

func main() {
	consultest.RunBuilder()
	path, err := consultest.Path(limit, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(path)
}
