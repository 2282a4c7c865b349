package requestid_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gabion-go/gabion/transport/requestid"
)

func ExampleHandler() {
	h := requestid.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("serving", requestid.FromContext(r.Context()))
	}), requestid.Settings{})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.7:31337"
	r.Header.Set(requestid.Header, "order-17")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println("answered", w.Header().Get(requestid.Header))
	// Output:
	// serving order-17
	// answered order-17
}
