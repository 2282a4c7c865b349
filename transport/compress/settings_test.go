package compress_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/gabion-go/gabion/transport/compress"
)

// Whatever JSON says, the settings survive being written, and they are refused or
// compress only what they name, into what can be read again.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"min_bytes":1,"level":9,"types":["text/*","*+json","text/event-stream"]}`))
	f.Add([]byte(`{"min_bytes":9223372036854775807,"types":[]}`))
	f.Add([]byte(`{"min_bytes":-1,"level":10,"types":["*/*"]}`))
	f.Add([]byte(`{"types":["","*+","a/b;c=d","TEXT/HTML","*","a/*+json"]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, back compress.Settings
		if json.Unmarshal(data, &s) != nil {
			return
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &back); err != nil || !reflect.DeepEqual(back, s) {
			t.Fatalf("%+v written as %s reads as %+v, %v", s, out, back, err)
		}
		body := bytes.Repeat([]byte("gabion "), 300)
		var media string
		h, err := compress.Responses(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			_, _ = w.Write(body)
		}), s)
		if (err == nil) != (s.Validate() == nil) {
			t.Fatalf("Responses: %v, Validate: %v", err, s.Validate())
		}
		if err != nil {
			return
		}
		d := s.WithDefaults()
		for _, media = range []string{"text/event-stream", "image/png", "application/problem+json"} {
			named := slices.Contains(d.Types, media)
			switch media {
			case "image/png":
				named = named || slices.Contains(d.Types, "image/*")
			case "application/problem+json":
				named = named || slices.Contains(d.Types, "*+json") || slices.Contains(d.Types, "application/*")
			}
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Accept-Encoding", "gzip")
			h.ServeHTTP(w, r)
			var got io.Reader = w.Body
			zipped := w.Header().Get("Content-Encoding") == "gzip"
			if want := named && len(body) >= d.MinBytes; zipped != want {
				t.Fatalf("%s: %s compressed: %v, want %v", data, media, zipped, want)
			}
			if zipped {
				if got, err = gzip.NewReader(got); err != nil {
					t.Fatal(err)
				}
			}
			if b, err := io.ReadAll(got); err != nil || !bytes.Equal(b, body) {
				t.Fatalf("%s: %s arrives as %d bytes, %v", data, media, len(b), err)
			}
		}
	})
}
