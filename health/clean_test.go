package health

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCleanTakesOutSecrets(t *testing.T) {
	for _, in := range []string{
		`dial "postgres://shop:hunter2@db:5432/shop": refused`,
		`dial postgres://shop:hunter2@db:5432/shop: refused`,
		`parse "postgres://shop:top/hunter2@db": invalid port ":hunter2" after host`,
		`parse "redis://:hunter2%zz@db": invalid URL escape "%zzhunter2"`,
		`parse "amqp://shop:a hunter2@mq": net/url: invalid userinfo`,
		`http://shop:p@ss@hunter2@db/`,
		`connect shop:hunter2@tcp(10.0.0.1:3306)/shop?tls=true`,
		`connect shop:/x:y/hunter2@tcp(10.0.0.1:3306)/shop`,
		`host=db user=shop password=hunter2 dbname=shop`,
		`host=db password='a hunter2' dbname=shop`,
		`server=db;uid=shop;pwd=hunter2;encrypt=true`,
		`GET https://api/v1?access_token=hunter2&x=1: 403`,
		`GET https://api/v1?X-Amz-Signature=hunter2: 403`,
		`{"client_secret": "hunter2", "id": 1}`,
		`Authorization: Bearer hunter2`,
		`config: api-key: hunter2`,
		"a\nDB_PASSWORD=hunter2\n",
	} {
		if got := clean(in); strings.Contains(got, "hunter2") {
			t.Errorf("%s\n shown as %s", in, got)
		}
	}
}

func TestCleanKeepsWhatHelps(t *testing.T) {
	for in, want := range map[string]string{
		"dial tcp 10.0.0.1:5432: connect: connection refused":    "dial tcp 10.0.0.1:5432: connect: connection refused",
		`dial "postgres://shop:x@db:5432/shop": refused`:         `dial "***@db:5432/shop": refused`,
		"GET http://pricing/v1/quote: status 500":                "GET http://pricing/v1/quote: status 500",
		"line one\r\nline two\x1b[31m":                           "line one  line two [31m",
		"host=db password=x dbname=shop: no pg_hba.conf entry":   "host=db password=*** dbname=shop: no pg_hba.conf entry",
		"health: /var/lib has 12 bytes left, want 100":           "health: /var/lib has 12 bytes left, want 100",
		"lookup db on 127.0.0.53:53: no such host (user@domain)": "lookup db on 127.0.0.53:53: no such host (user@domain)",
	} {
		if got := clean(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add(strings.Repeat("ü", 300))
	f.Add("postgres://a:b@c\x00\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if len(got) > maxOutput || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("clean(%q) = %q", s, got)
		}
	})
}
