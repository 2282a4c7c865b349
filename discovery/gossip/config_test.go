package gossip

import (
	"encoding/base64"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for url, want := range map[string]Config{
		"gossip://":                 {},
		"gossip:///":                {},
		"gossip://10.0.0.1:1,b":     {Seeds: []string{"10.0.0.1:1", "b:7946"}},
		"gossip://[::1]:1,::1":      {Seeds: []string{"[::1]:1", "[::1]:7946"}},
		"gossip://?label=blue":      {Label: "blue"},
		"gossip://a?bind=1.2.3.4:5": {Seeds: []string{"a:7946"}, Bind: "1.2.3.4:5"},
		"gossip://a?bind=0.0.0.0:0&advertise=1.2.3.4:5": {Seeds: []string{"a:7946"}, Bind: "0.0.0.0:0", Advertise: "1.2.3.4:5"},
	} {
		var c Config
		err := c.parse(url)
		if err == nil {
			err = c.check()
		}
		if err != nil || !slices.Equal(c.Seeds, want.Seeds) || c.Label != want.Label || c.Bind != want.Bind || c.Advertise != want.Advertise {
			t.Errorf("%s: got %+v, %v", url, c, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"gossip:":                        "want gossip://",
		"consul://x":                     "want gossip://",
		"gossip://user:secret@host":      "no place",
		"gossip://a:b:c:d/e":             "seed 1",
		"gossip://a,,b":                  "seed 2",
		"gossip://0.0.0.0:1":             "seed 1",
		"gossip://?nonsense=1":           "have advertise, bind",
		"gossip://?key=secret":           KeyVariable,
		"gossip://?bind=host:1":          "want ip:port",
		"gossip://?bind=1.2.3.4":         "want ip:port",
		"gossip://?advertise=0.0.0.0:80": "wildcard",
		"gossip://?label=a+b":            "label",
		"gossip://?key_file=/no/such":    "key_file",
		"gossip://?%zz":                  "cannot be understood",
	} {
		var c Config
		err := c.parse(url)
		if err == nil {
			err = c.check()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
}

func TestKeys(t *testing.T) {
	key := []byte("0123456789abcdef")
	text := base64.StdEncoding.EncodeToString(key)
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c Config
	if err := c.parse("gossip://?key_file=" + path); err != nil || string(c.Key) != string(key) {
		t.Errorf("key file: %v", err)
	}
	t.Setenv(KeyVariable, "c2VjcmV0")
	if _, err := Open(t.Context(), "gossip://?bind=127.0.0.1:0"); err == nil ||
		!strings.Contains(err.Error(), KeyVariable) || strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("short key: %v", err)
	}
	t.Setenv(KeyVariable, "not base64!")
	if _, err := Open(t.Context(), "gossip://"); err == nil || strings.Contains(err.Error(), "not base64!") {
		t.Errorf("no base64: %v", err)
	}
}

func TestCandidates(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
		stays  bool
	}{
		"default":        {Config{}, "127.0.0.1:7946", true},
		"loopback seeds": {Config{Seeds: []string{"127.0.0.1:8001", "localhost:8002"}}, "127.0.0.1:8001", true},
		"network seeds":  {Config{Seeds: []string{"127.0.0.1:8001", "10.0.0.1:7946"}}, "0.0.0.0:7946", false},
		"bind":           {Config{Bind: "127.0.0.1:5"}, "127.0.0.1:5", true},
		"bind outside":   {Config{Bind: "0.0.0.0:5"}, "0.0.0.0:5", false},
	} {
		got := c.config.candidates()
		if got[0].String() != c.want || c.config.stays() != c.stays {
			t.Errorf("%s: %v first, stays %v", name, got[0], c.config.stays())
		}
	}
	if a, b := meetingPlaces("a"), meetingPlaces("b"); a[0] == b[0] || a[9].Port() != a[0].Port()+9 {
		t.Errorf("meeting places %v and %v", a, b)
	}
}

func TestAdvertised(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		bound  string
		want   string
	}{
		"bound":              {Config{}, "127.0.0.1:5", "127.0.0.1:5"},
		"given":              {Config{Advertise: "10.1.2.3:9"}, "0.0.0.0:5", "10.1.2.3:9"},
		"given without port": {Config{Advertise: "10.1.2.3:0"}, "0.0.0.0:5", "10.1.2.3:5"},
		"by the seed":        {Config{Seeds: []string{"127.0.0.1:7946"}}, "0.0.0.0:5", "127.0.0.1:5"},
	} {
		got, err := c.config.advertised(netip.MustParseAddrPort(c.bound))
		if err != nil || got.String() != c.want {
			t.Errorf("%s: got %v, %v, want %s", name, got, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("gossip://a:1,b?label=x&bind=1.2.3.4:5")
	f.Fuzz(func(t *testing.T, url string) {
		if strings.Contains(url, "key_file") {
			return
		}
		var c Config
		if c.parse(url) == nil && c.check() == nil {
			_ = c.stays()
		}
	})
}
