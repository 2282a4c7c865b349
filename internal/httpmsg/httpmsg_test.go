package httpmsg_test

import (
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/gabion-go/gabion/internal/httpmsg"
)

func TestElements(t *testing.T) {
	got := slices.Collect(httpmsg.Elements([]string{" a, b ,,c", "", "d"}))
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range httpmsg.Elements([]string{"a,b"}) {
		break
	}
}

func TestResponse(t *testing.T) {
	for method, want := range map[string]string{http.MethodGet: "abc", http.MethodHead: ""} {
		req := &http.Request{Method: method}
		resp := httpmsg.Response(req, http.StatusTeapot, http.Header{"A": {"b"}}, []byte("abc"))
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != want || resp.ContentLength != 3 || resp.Status != "418 I'm a teapot" || resp.Request != req {
			t.Errorf("%s: %q of %d bytes, %s, %v", method, body, resp.ContentLength, resp.Status, err)
		}
	}
}
