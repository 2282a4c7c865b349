package consul_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/consul"
	"github.com/gabion-go/gabion/internal/duration"
)

func TestParseURL(t *testing.T) {
	for url, want := range map[string]consul.Config{
		"consul://":                         {},
		"consul://127.0.0.1:8500":           {Address: "127.0.0.1:8500"},
		"consul://127.0.0.1:8500/":          {Address: "127.0.0.1:8500"},
		"consul://consul.test":              {Address: "consul.test:8500"},
		"consul://[::1]":                    {Address: "[::1]:8500"},
		"consul://[::1]:9500":               {Address: "[::1]:9500"},
		"consul+https://consul.test":        {Address: "consul.test:8501", TLS: consul.TLS{Enabled: true}},
		"consul+https://consul.test:1":      {Address: "consul.test:1", TLS: consul.TLS{Enabled: true}},
		"consul://h:1?tls=true":             {Address: "h:1", TLS: consul.TLS{Enabled: true}},
		"consul://?dc=east&ns=a&partition=": {Datacenter: "east", Namespace: "a"},
		"consul://?tag=a&tag=b":             {Tags: []string{"a", "b"}},
		"consul://?check=http&check_path=%2Fup&interval=2s&check_tls=1": {
			Check: consul.CheckHTTP, CheckPath: "/up", Interval: duration.Duration(2 * time.Second), CheckTLS: true,
		},
		"consul://?ttl=15s&deregister_after=2m&wait=1m&max_stale=1s&settle=-1s&max_response=1000&only_passing=true": {
			TTL: duration.Duration(15 * time.Second), DeregisterAfter: duration.Duration(2 * time.Minute),
			Wait: duration.Duration(time.Minute), MaxStale: duration.Duration(time.Second),
			Settle: duration.Duration(-time.Second), MaxResponse: 1000, OnlyPassing: true,
		},
		"consul+https://?ca_file=a&ca_path=b&cert_file=c&key_file=d&server_name=e&skip_verify=true&token_file=f": {
			TLS:       consul.TLS{Enabled: true, CAFile: "a", CAPath: "b", CertFile: "c", KeyFile: "d", ServerName: "e", SkipVerify: true},
			TokenFile: "f",
		},
	} {
		got, err := consul.ParseURL(url)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", url, got, err, want)
		}
	}
}

func TestParseURLErrors(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:8500":        "consul://",
		"consul:127.0.0.1:8500":        "consul://host:port",
		"consul://h:1/v1/kv":           "without a path",
		"consul://h:1#x":               "without a path",
		"consul://:8500":               "no host",
		"consul://h:0":                 "1 to 65535",
		"consul://h:99999":             "1 to 65535",
		"consul://me:s3cret@h:1":       "credentials do not belong",
		"consul://h:1?token=s3cret":    "token_file",
		"consul://h:1?tokne=x":         `unknown parameter "tokne"`,
		"consul://h:1?ttl=10":          "duration such as",
		"consul://h:1?tls=maybe":       "true or false",
		"consul://h:1?max_response=1k": "number of bytes",
		"consul://h:1?dc=a&dc=b":       "given 2 times",
		"consul://h:1?tag=":            "want a tag",
		"consul://h:1?a=%zz":           "not well formed",
		"consul://h:s3cret":            "not a URL",
		"consul://me:s3cret@h:1 x":     "not a URL",
		"consul://h:1?ttl=x&wait=y":    "parameter wait",
		"\x7f://s3cret":                "not a URL",
	} {
		_, err := consul.ParseURL(url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got error %v, want one with %q", url, err, want)
		}
	}
}

func TestNewErrors(t *testing.T) {
	for url, want := range map[string]string{
		"consul://?check=script":               "ttl, http or grpc",
		"consul://?ttl=10ms":                   "at least 1s",
		"consul://?interval=10ms":              "at least 1s",
		"consul://?wait=1h":                    "1s to 10m",
		"consul://?deregister_after=-1s":       "must not be negative",
		"consul://?max_stale=-1s":              "must not be negative",
		"consul://?max_response=-1":            "must not be negative",
		"consul://?check=http&check_path=up":   "begins with /",
		"consul://?cert_file=c":                "go together",
		"consul://?token_file=%2Fno%2Fsuch":    "token file",
		"consul+https://?ca_file=%2Fno%2Fsuch": "TLS",
		"consul://?ttl=1ms&wait=1h&check=x":    "wait",
	} {
		b, err := consul.Open(context.Background(), url)
		if err == nil || b != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, error %v, want one with %q", url, b, err, want)
		}
	}
}

func TestOpenMakesNoRequest(t *testing.T) {
	openers := discovery.Openers{"consul": consul.Open, "consul+https": consul.NewOpener()}
	for _, url := range []string{"consul://127.0.0.1:1", "consul+https://127.0.0.1:1"} {
		b, err := openers.Open(context.Background(), url)
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"consul://127.0.0.1:8500?dc=a&tag=b", "consul+https://[::1]?ttl=1s", "consul://u:p@h", "consul:///x", "consul://h:1?a=%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		conf, err := consul.ParseURL(url)
		if err != nil {
			return
		}
		if conf.Token != "" {
			t.Errorf("%q: a token came out of a URL", url)
		}
		if conf.TokenFile != "" || conf.TLS.CAFile != "" || conf.TLS.CAPath != "" || conf.TLS.CertFile != "" || conf.TLS.KeyFile != "" {
			return // New reads files
		}
		if b, err := consul.New(conf); err == nil {
			b.Close()
		}
	})
}
