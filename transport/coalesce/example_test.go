package coalesce_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/gabion-go/gabion/transport/coalesce"
)

func Example() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "42")
	}))
	defer srv.Close()

	shared := coalesce.New(srv.Client().Transport, coalesce.Settings{MaxBytes: 64 << 10})
	client := &http.Client{Transport: shared}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			resp, err := client.Get(srv.URL + "/quote")
			if err != nil {
				fmt.Println(err)
				return
			}
			defer resp.Body.Close()
			if _, err := io.ReadAll(resp.Body); err != nil {
				fmt.Println(err)
			}
		})
	}
	wg.Wait()
	// How many of them met in flight is up to chance.
	s := shared.Stats()
	fmt.Println("calls and those that shared one:", s.Calls+s.Shared)
	// Output: calls and those that shared one: 10
}
