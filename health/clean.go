package health

import (
	"regexp"
	"strings"
	"unicode"
)

// maxOutput bounds the text of a check's error as it is shown, maxError the
// part of it that is looked at, both in bytes.
const (
	maxOutput = 256
	maxError  = 64 << 10
)

// secrets finds passwords where errors usually carry them. Each takes rather
// too much than too little.
var secrets = []struct {
	pattern *regexp.Regexp
	replace string
}{
	// postgres://user:password@host, even when the password has spaces,
	// slashes or @ in it
	{regexp.MustCompile(`[a-zA-Z0-9+.-]*://[^"\n]*@`), "***@"},
	// user:password@tcp(host:3306)/db
	{regexp.MustCompile(`[^\s"'/:@(]+:[^\s"']*@`), "***@"},
	// password=secret, token: "secret", ?api_key=secret
	{regexp.MustCompile(`(?i)([a-z_.-]*(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|signature|credential)[a-z_.-]*"?\s*[=:]\s*)("[^"]*"?|'[^']*'?|[^\s&;,"']+)`), "${1}***"},
	// Authorization: Bearer secret
	{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]+`), "${1} ***"},
	// net/url quotes the part of the URL that it does not understand
	{regexp.MustCompile(`(invalid (?:port|URL escape|character)) "[^"]*"`), "${1}"},
}

// clean makes an error's text fit to leave the process: one line, at most
// maxOutput bytes, without passwords.
func clean(s string) string {
	s = strings.ToValidUTF8(cut(s, maxError), "")
	for _, secret := range secrets {
		s = secret.pattern.ReplaceAllString(s, secret.replace)
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return strings.ToValidUTF8(cut(s, maxOutput), "")
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
