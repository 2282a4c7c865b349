// Command client calls the hello service by its name: every instance that runs
// on this machine gets its share, and one that dies is passed over.
package main

import (
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"strings"

	"github.com/gabion-go/gabion"
)

func main() {
	name := "world"
	if len(os.Args) > 1 {
		name = strings.Join(os.Args[1:], " ")
	}
	if err := greet(os.Stdout, name); err != nil {
		log.Fatal(err)
	}
}

// greet writes what the hello service says to name.
func greet(w io.Writer, name string) error {
	svc, err := gabion.New("hello-client")
	if err != nil {
		return err
	}
	defer func() { _ = svc.Close() }() // the process ends next
	resp, err := svc.Client("hello").Get("http://hello/hello/" + url.PathEscape(name))
	if err != nil {
		return fmt.Errorf("is an instance running? go run ./examples/hello: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(w, resp.Body)
	return err
}
