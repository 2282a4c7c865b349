package gabion_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/gabion-go/gabion"
)

// Two services in one program: the second calls the first by its name.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	quiet := func(key string) string {
		return map[string]string{"GABION_LOG": "error", "GABION_DISCOVERY": "gossip://?label=example", "GABION_DRAIN_DELAY": "1ms"}[key]
	}
	ready := make(chan struct{})
	pricing, err := gabion.New("pricing", gabion.WithGetenv(quiet), gabion.WithOnReady(func(*gabion.Service) { close(ready) }))
	if err != nil {
		log.Fatal(err)
	}
	pricing.HandleFunc("GET /v1/prices/{product}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s: 19.99 EUR", r.PathValue("product"))
	})
	done := make(chan error, 1)
	go func() { done <- pricing.Run(ctx) }()
	<-ready

	shop, err := gabion.New("shop", gabion.WithGetenv(quiet))
	if err != nil {
		log.Fatal(err)
	}
	resp, err := shop.Client("pricing").Get("http://pricing/v1/prices/teapot")
	if err != nil {
		log.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	fmt.Println(string(body))

	cancel()
	fmt.Println("drained:", <-done, shop.Close())
	// Output:
	// teapot: 19.99 EUR
	// drained: <nil> <nil>
}
