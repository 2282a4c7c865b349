package cors_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gabion-go/gabion/transport/cors"
)

func ExampleHandler() {
	h, err := cors.Handler(http.NotFoundHandler(), cors.Settings{
		Origins:     []string{"https://shop.example"},
		Methods:     []string{"GET", "PUT"},
		Credentials: true,
	})
	if err != nil {
		panic(err)
	}
	for _, origin := range []string{"https://shop.example", "https://shop.example.evil"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%q\n", w.Header().Get("Access-Control-Allow-Origin"))
	}
	_, err = cors.Handler(http.NotFoundHandler(), cors.Settings{Origins: []string{"*"}, Credentials: true})
	fmt.Println(err)
	// Output:
	// "https://shop.example"
	// ""
	// cors: origin "*" with credentials: every page could act as its user
}
