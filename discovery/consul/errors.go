package consul

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"
)

// ErrDenied marks errors that come from a missing, unknown or insufficient
// ACL token.
var ErrDenied = errors.New("discovery/consul: permission denied")

// deniedError adds [ErrDenied] to an error without a change to its text.
type deniedError struct{ error }

func (e deniedError) Unwrap() error        { return e.error }
func (e deniedError) Is(target error) bool { return target == ErrDenied }

// classify marks a refusal of the token.
func classify(err error) error {
	if status(err) == http.StatusForbidden || status(err) == http.StatusUnauthorized {
		return deniedError{err}
	}
	return err
}

// status returns the HTTP status that err stands for, or 0.
func status(err error) int {
	if e, ok := errors.AsType[api.StatusError](err); ok {
		return e.Code
	}
	return 0
}

// forgotten reports whether err says that the agent does not know the check or
// service. Consul before 1.11 says so with status 500.
func forgotten(err error) bool {
	e, ok := errors.AsType[api.StatusError](err)
	if !ok {
		return false
	}
	if e.Code == http.StatusNotFound {
		return true
	}
	text := strings.ToLower(e.Body)
	return e.Code == http.StatusInternalServerError &&
		(strings.Contains(text, "unknown check") || strings.Contains(text, "unknown service") ||
			strings.Contains(text, "does not have associated ttl"))
}
