package redact

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

func TestKey(t *testing.T) {
	for _, name := range []string{
		"authorization", "Proxy-Authorization", "Cookie", "set-cookie", "password", "db.password", "PASSWD",
		"secret", "client_secret", "token", "X-Consul-Token", "api_key", "apiKey", "X-API-Key", "aws secret access key",
	} {
		if !Key(name) {
			t.Errorf("Key(%q) = false, want true", name)
		}
	}
	for _, name := range []string{"", "user", "token_count", "path", "secretary", "passwords_changed", "key", "author"} {
		if Key(name) {
			t.Errorf("Key(%q) = true, want false", name)
		}
	}
}

func TestKeyDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Key("X-Consul-Token"); Key("route") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://pricing/v1/quote?sku=1":                   "http://pricing/v1/quote?sku=1",
		"https://joe:s3cret@db/x":                         "https://db/x",
		"https://token@db/x":                              "https://db/x",
		"http://a/?b=1&token=s3cret&c=%20":                "http://a/?b=1&token=REDACTED&c=%20",
		"http://a/?%74oken=s3cret":                        "http://a/?%74oken=REDACTED",
		"http://a/?X-Amz-Signature=s3cret&api_key=s3cret": "http://a/?X-Amz-Signature=REDACTED&api_key=REDACTED",
		"http://a/#access_token=s3cret":                   "http://a/",
		"mailto:a?token=s3cret":                           "mailto:a?token=REDACTED",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := URL(u); got != want {
			t.Errorf("URL(%q) = %q, want %q", in, got, want)
		}
	}
	if got := URL(nil); got != "" {
		t.Errorf("URL(nil) = %q", got)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"nothing to hide": "nothing to hide",
		"dial postgres://joe:s3cret@db:5432/shop: down": "dial postgres://REDACTED@db:5432/shop: down",
		"amqp://u:s3@cret@mq":                           "amqp://REDACTED@mq",
		"Authorization: Bearer s3cret":                  "Authorization: Bearer REDACTED",
		"auth BEARER  s3.cr-et, then":                   "auth Bearer REDACTED, then",
		"Basic am9lOnMzY3JldA==":                        "Basic REDACTED",
		"basic authentication is off":                   "basic authentication is off",
		"host=db password=s3cret port=1":                "host=db password=REDACTED port=1",
		`password="s3 cret" x=1`:                        `password=REDACTED x=1`,
		"GET /v1?token=s3cret&a=b":                      "GET /v1?token=REDACTED&a=b",
		"mail joe@example.com a=b":                      "mail joe@example.com a=b",
		`body {"user":"joe","password": "s3\"cret"}`:    `body {"user":"joe","password":"REDACTED"}`,
		`{"token":s3cret,"n":1}`:                        `{"token":"REDACTED","n":1}`,
		"open root:s3@cret@tcp(127.0.0.1:3306)/shop":    "open REDACTED@tcp(127.0.0.1:3306)/shop",
		"X-Consul-Token: s3cret":                        "X-Consul-Token: REDACTED",
		"Cookie: sid=s3cret; a":                         "Cookie: sid=REDACTED; a",
		"wrong password: too short":                     "wrong password: too short",
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestHeader(t *testing.T) {
	if !Header("content-type") || Header("Authorization") || Header("X-Unheard-Of") {
		t.Error("only known harmless header fields may be shown")
	}
}

func FuzzText(f *testing.F) {
	f.Add("http://a", "db")
	f.Add("://", "?x=1")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "s3cretpassw0rd"
		if strings.Contains(before+after, secret) {
			t.Skip()
		}
		got := Text(before + " http://joe:" + secret + "@host/ " + after)
		if strings.Contains(got, secret) {
			t.Errorf("secret left in %q", got)
		}
	})
}

func TestJSON(t *testing.T) {
	in := map[string]any{
		"password": []int{1}, "n": uint64(1<<63 + 1), "list": []any{"Bearer s3cret", nil, true},
		"inner": struct{ APIKey, Name string }{"s3cret", "joe"},
	}
	tree, err := JSON(in, strings.ToUpper)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(tree)
	want := `{"INNER":{"APIKEY":"REDACTED","NAME":"JOE"},"LIST":["BEARER REDACTED",null,true],"N":9223372036854775809,"PASSWORD":"REDACTED"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if _, err := JSON(make(chan int), strings.ToUpper); err == nil {
		t.Error("a channel has no JSON form")
	}
}
