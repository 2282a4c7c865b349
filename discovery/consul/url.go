package consul

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
)

// ParseURL reads a discovery URL:
//
//	consul://HOST:PORT?dc=east&tag=blue&check=ttl&ttl=10s
//	consul+https://HOST:PORT?ca_file=/etc/consul/ca.pem
//
// Without a host the environment's CONSUL_HTTP_ADDR applies, else
// 127.0.0.1:8500; the port is 8500, or 8501 for consul+https, when none is
// given. The parameters have the names of the JSON fields of [Config] and
// [TLS], but for dc, ns and tag, which may be repeated, and tls=true. A token
// does not belong in a URL, which gets shown and logged: it comes from
// token_file or the environment. The error never repeats the URL.
func ParseURL(rawURL string) (Config, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// err quotes what it was given, which may hold a secret.
		return Config{}, errors.New("discovery/consul: not a URL of the form consul://host:port?parameters")
	}
	if u.User != nil {
		return Config{}, errors.New("discovery/consul: credentials do not belong in a URL: use token_file or CONSUL_HTTP_TOKEN, and CONSUL_HTTP_AUTH for a proxy")
	}
	if u.Opaque != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return Config{}, errors.New("discovery/consul: want consul://host:port?parameters, without a path or a fragment")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, errors.New("discovery/consul: the URL's parameters are not well formed")
	}
	var c Config
	if c.Address, err = address(u); err != nil {
		return Config{}, err
	}
	if err := c.setAll(query); err != nil {
		return Config{}, err
	}
	if u.Scheme == "consul+https" {
		c.TLS.Enabled = true
	}
	return c, nil
}

// address returns the host and port of u, or nothing if it has no host.
func address(u *url.URL) (string, error) {
	port := "8500"
	switch u.Scheme {
	case "consul":
	case "consul+https":
		port = "8501"
	default:
		return "", errors.New("discovery/consul: want a URL that begins with consul:// or consul+https://")
	}
	if u.Host == "" {
		return "", nil
	}
	if u.Hostname() == "" {
		return "", errors.New("discovery/consul: the URL has a port but no host")
	}
	switch given := u.Port(); {
	case given != "":
		if n, err := strconv.ParseUint(given, 10, 16); err != nil || n == 0 {
			return "", errors.New("discovery/consul: the URL's port must be 1 to 65535")
		}
		return u.Host, nil
	default:
		return strings.TrimSuffix(u.Host, ":") + ":" + port, nil
	}
}

// setAll sets what the parameters say and reports, joined, those that cannot
// be understood.
func (c *Config) setAll(query url.Values) error {
	params := c.params()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(query)) {
		set, known := params[name]
		values := query[name]
		switch {
		case name == "token":
			errs = append(errs, errors.New("discovery/consul: a token does not belong in a URL: use token_file or CONSUL_HTTP_TOKEN"))
		case !known:
			errs = append(errs, fmt.Errorf("discovery/consul: unknown parameter %.40q: have %s",
				name, strings.Join(slices.Sorted(maps.Keys(params)), ", ")))
		case len(values) > 1 && name != "tag":
			errs = append(errs, fmt.Errorf("discovery/consul: parameter %s is given %d times", name, len(values)))
		default:
			for _, v := range values {
				if err := set(v); err != nil {
					errs = append(errs, fmt.Errorf("discovery/consul: parameter %s: %w", name, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// params maps the name of each parameter to what sets it.
func (c *Config) params() map[string]func(string) error {
	return map[string]func(string) error{
		"dc":         text(&c.Datacenter),
		"ns":         text(&c.Namespace),
		"partition":  text(&c.Partition),
		"token_file": text(&c.TokenFile),
		"tag": func(v string) error {
			if v == "" {
				return errors.New("want a tag")
			}
			c.Tags = append(c.Tags, v)
			return nil
		},
		"tls":              boolean(&c.TLS.Enabled),
		"ca_file":          text(&c.TLS.CAFile),
		"ca_path":          text(&c.TLS.CAPath),
		"cert_file":        text(&c.TLS.CertFile),
		"key_file":         text(&c.TLS.KeyFile),
		"server_name":      text(&c.TLS.ServerName),
		"skip_verify":      boolean(&c.TLS.SkipVerify),
		"check":            text((*string)(&c.Check)),
		"check_path":       text(&c.CheckPath),
		"check_tls":        boolean(&c.CheckTLS),
		"ttl":              period(&c.TTL),
		"interval":         period(&c.Interval),
		"deregister_after": period(&c.DeregisterAfter),
		"only_passing":     boolean(&c.OnlyPassing),
		"wait":             period(&c.Wait),
		"max_stale":        period(&c.MaxStale),
		"settle":           period(&c.Settle),
		"max_response":     number(&c.MaxResponse),
	}
}

func text(field *string) func(string) error {
	return func(v string) error { *field = v; return nil }
}

func boolean(field *bool) func(string) error {
	return func(v string) (err error) {
		if *field, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("%.20q: want true or false", v)
		}
		return nil
	}
}

func period(field *duration.Duration) func(string) error {
	return func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("%.20q: want a duration such as 10s or 5m", v)
		}
		*field = duration.Duration(d)
		return nil
	}
}

func number(field *int64) func(string) error {
	return func(v string) (err error) {
		if *field, err = strconv.ParseInt(v, 10, 64); err != nil {
			return fmt.Errorf("%.20q: want a number of bytes", v)
		}
		return nil
	}
}
