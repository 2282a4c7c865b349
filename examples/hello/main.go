// Command hello is the smallest service: registered, discoverable,
// health-checked, metered and traced.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/gabion-go/gabion"
)

func main() {
	svc, err := gabion.New("hello")
	if err != nil {
		log.Fatal(err)
	}
	svc.HandleFunc("GET /hello/{name}", hello)
	if err := svc.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func hello(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Hello, %s!\n", r.PathValue("name"))
}
