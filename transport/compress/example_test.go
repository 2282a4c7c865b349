package compress_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/compress"
)

func ExampleRequests() {
	h := compress.Requests(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Quantity int `json:"quantity"`
		}
		if err := transport.DecodeJSON(w, r, &in); err != nil {
			return
		}
		fmt.Fprint(w, in.Quantity, " in the cart")
	}), 0)
	for _, coding := range []string{"gzip", "br"} {
		r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(zip(`{"quantity":2}`)))
		r.Header.Set("Content-Encoding", coding)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Accept-Encoding"))
	}
	// Output:
	// 200 ""
	// 415 "gzip, deflate"
}

func ExampleClient() {
	h, err := compress.Responses(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("gabion ", 1000))
	}), compress.Settings{})
	if err != nil {
		panic(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	c := &http.Client{Transport: compress.Client(srv.Client().Transport, 1<<20)} // at most 1 MiB
	resp, err := c.Get(srv.URL)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Uncompressed, len(body), err)
	// Output: true 7000 <nil>
}
