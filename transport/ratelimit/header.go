package ratelimit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-go/gabion/transport"
)

// The response's fields. Source: draft-ietf-httpapi-ratelimit-headers-11, "RateLimit
// header fields for HTTP", May 2026, sections 3 and 4.
const (
	headerPolicy = "Ratelimit-Policy" // in canonical form
	headerLimit  = "Ratelimit"
)

// The problem of a refusal: section 5.1 of the same draft.
const (
	problemType  = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	problemTitle = "Request cannot be satisfied as assigned quota has been exceeded"
)

// texts are what responses say of a policy, made once.
type texts struct {
	policy  string // the value of RateLimit-Policy
	name    string // the policy's name as a structured field's string
	problem []byte // the body of a refusal
}

func newTexts(p Policy) texts {
	t := texts{name: quote(p.Name)}
	t.policy = fmt.Sprintf("%s;q=%d;w=%d", t.name, p.Requests, p.Window/time.Second)
	t.problem, _ = json.Marshal(transport.Problem{ // strings only: there is nothing to fail
		Type: problemType, Title: problemTitle, Status: http.StatusTooManyRequests,
		Extra: map[string]any{"violated-policies": []string{p.Name}},
	})
	t.problem = append(t.problem, '\n')
	return t
}

// quote writes printable ASCII as a string of structured fields: RFC 9651,
// section 4.1.6.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// limit returns the value of RateLimit: what is left, and in how long there will
// be more.
func (t *texts) limit(d Decision) string {
	b := make([]byte, 0, 96)
	b = append(b, t.name...)
	b = append(b, ";r="...)
	b = strconv.AppendInt(b, int64(d.Remaining), 10)
	if d.Next > 0 {
		b = append(b, ";t="...)
		b = strconv.AppendInt(b, seconds(d.Next), 10)
	}
	return string(b)
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
