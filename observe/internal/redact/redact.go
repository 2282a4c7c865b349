// Package redact keeps secrets out of logs and spans: by the name of a value,
// by its type, and by patterns in text.
package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Mark stands where a secret was.
const Mark = "REDACTED"

// secretNames are names of secrets in the form that fold gives them.
var secretNames = map[string]bool{
	"authorization": true, "proxyauthorization": true, "cookie": true, "setcookie": true,
	"pwd": true, "passphrase": true, "auth": true, "sig": true, "signature": true,
	"xamzsignature": true, "xamzcredential": true, "sessionid": true, "xcsrftoken": true,
	"privatekey": true, "accesskey": true, "secretkey": true, "encryptkey": true, "jwt": true,
}

// secretEndings end names of secrets, such as db_password or X-Consul-Token.
var secretEndings = []string{
	"password", "passwd", "secret", "token", "apikey", "secretkey", "privatekey",
	"accesskey", "credential", "credentials", "secretaccesskey",
}

// Key reports whether a value of this name is a secret. Case, dashes,
// underscores, dots and blanks make no difference.
func Key(name string) bool {
	if len(name) < len("jwt") || len(name) > 128 {
		return false
	}
	var buf [128]byte
	folded := fold(buf[:0], name)
	if secretNames[string(folded)] {
		return true
	}
	for _, end := range secretEndings {
		if len(folded) >= len(end) && string(folded[len(folded)-len(end):]) == end {
			return true
		}
	}
	return false
}

// fold appends the letters and digits of name in lower case.
func fold(dst []byte, name string) []byte {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z':
			dst = append(dst, c+'a'-'A')
		case c != '-' && c != '_' && c != '.' && c != ' ':
			dst = append(dst, c)
		}
	}
	return dst
}

// shownHeaders are the header fields whose values are fit to be seen.
var shownHeaders = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Age": true, "Allow": true,
	"Cache-Control": true, "Connection": true, "Content-Encoding": true, "Content-Length": true,
	"Content-Type": true, "Date": true, "Etag": true, "Expect": true, "Host": true,
	"Retry-After": true, "Server": true, "Traceparent": true, "Transfer-Encoding": true,
	"User-Agent": true, "Vary": true, "Via": true, "X-Request-Id": true,
	"X-Envoy-Attempt-Count": true, "X-Envoy-Expected-Rq-Timeout-Ms": true,
	"X-Gabion-Criticality": true, "X-Gabion-No-Retry": true, "X-Gabion-Shed": true,
}

// Header reports whether the value of the header field may be shown. All that
// are not known to be harmless may not.
func Header(name string) bool { return shownHeaders[http.CanonicalHeaderKey(name)] }

// URL returns u without userinfo and fragment, and with secret query
// parameters marked. A nil u gives the empty string.
func URL(u *url.URL) string {
	if u == nil {
		return ""
	}
	shown := *u
	shown.User, shown.Fragment, shown.RawFragment = nil, "", ""
	shown.RawQuery = query(u.RawQuery)
	if u.Opaque != "" {
		shown.Opaque = Text(u.Opaque)
	}
	return shown.String()
}

// query marks the secret parameters of a raw query and leaves the rest as it
// is, order and encoding included.
func query(raw string) string {
	if raw == "" {
		return ""
	}
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		name, _, hasValue := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = name
		}
		if hasValue && Key(plain) {
			pairs[i] = name + "=" + Mark
		}
	}
	return strings.Join(pairs, "&")
}

var (
	userinfo = regexp.MustCompile(`://[^\s/?#]*@`)
	dsn      = regexp.MustCompile(`[^\s:/@"']+:[^\s/"']*@(\w*\()`)
	bearer   = regexp.MustCompile(`(?i)\bbearer\s+[^\s"',;]+`)
	basic    = regexp.MustCompile(`(?i)\bbasic\s+[A-Za-z0-9+/=_-]+`)
	assigned = regexp.MustCompile(`([\w.%-]+)=("[^"]*"|'[^']*'|[^\s&"',;#]+)`)
	member   = regexp.MustCompile(`"([^"\\]+)"\s*:\s*("(?:[^"\\]|\\.)*"?|[^\s,}\]"]+)`)
	header   = regexp.MustCompile(`(?i)\b((?:set-)?cookie:\s*[^\s=]+=|x-[\w-]*(?:token|key|secret|signature):\s*)[^\s,;"']+`)
)

// Text marks secrets inside text: the userinfo of URLs and of data source names
// such as user:password@tcp(host)/db, bearer and basic credentials, assignments
// such as password=x, members of JSON, and header lines.
func Text(s string) string {
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "://"+Mark+"@")
	}
	if strings.Contains(s, "@") && strings.Contains(s, "(") {
		s = dsn.ReplaceAllString(s, Mark+"@$1")
	}
	if containsFold(s, "bearer") {
		s = bearer.ReplaceAllString(s, "Bearer "+Mark)
	}
	if containsFold(s, "basic") {
		s = basic.ReplaceAllStringFunc(s, basicCredentials)
	}
	if strings.Contains(s, ":") && (containsFold(s, "x-") || containsFold(s, "cookie")) {
		s = header.ReplaceAllString(s, "${1}"+Mark)
	}
	if strings.Contains(s, ":") && strings.Contains(s, `"`) {
		s = member.ReplaceAllStringFunc(s, jsonMember)
	}
	if strings.Contains(s, "=") {
		s = assigned.ReplaceAllStringFunc(s, assignment)
	}
	return s
}

// basicCredentials marks s if it holds name:password in base64 and is not just
// a pair of English words.
func basicCredentials(s string) string {
	coded := strings.TrimRight(strings.TrimSpace(s[len("basic"):]), "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if plain, err := enc.DecodeString(coded); err == nil && strings.Contains(string(plain), ":") {
			return "Basic " + Mark
		}
	}
	return s
}

func jsonMember(s string) string {
	name, _, _ := strings.Cut(s[1:], `"`)
	if Key(name) {
		return `"` + name + `":"` + Mark + `"`
	}
	return s
}

func assignment(s string) string {
	name, _, _ := strings.Cut(s, "=")
	plain, err := url.QueryUnescape(name)
	if err != nil {
		plain = name
	}
	if Key(plain) {
		return name + "=" + Mark
	}
	return s
}

// containsFold reports whether s contains word, which must be lower-case ASCII,
// in any case.
func containsFold(s, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		if s[i]|0x20 == word[0] && strings.EqualFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

// Tree cleans a decoded JSON value, which it may change: members with secret names are
// marked, and every other text, names included, goes through text after its
// secrets are marked. It returns the clean value.
func Tree(v any, text func(string) string) any {
	switch v := v.(type) {
	case string:
		return text(Text(v))
	case []any:
		for i := range v {
			v[i] = Tree(v[i], text)
		}
		return v
	case map[string]any:
		clean := make(map[string]any, len(v))
		for name, member := range v {
			if Key(name) {
				clean[text(name)] = Mark
				continue
			}
			clean[text(name)] = Tree(member, text)
		}
		return clean
	}
	return v
}

// JSON returns the JSON form of v as a clean tree, as [Tree] does. Numbers keep
// all their digits.
func JSON(v any, text func(string) string) (any, error) {
	coded, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var tree any
	dec := json.NewDecoder(bytes.NewReader(coded))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	return Tree(tree, text), nil
}
