package consul

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxTokenFile bounds what is read of a token file. A token is a UUID or, from
// an identity provider, at most a few kilobytes.
const maxTokenFile = 16 << 10

// A tokenSource knows the ACL token of this moment. It may be used by many
// goroutines.
type tokenSource struct {
	file string // empty for a fixed token

	mu    sync.Mutex
	token string
}

// newTokenSource returns a source for a fixed token, or for a file, which must
// be readable now: a wrong path shows at the start.
func newTokenSource(token, file string) (*tokenSource, error) {
	s := &tokenSource{token: token, file: file}
	if file == "" {
		return s, nil
	}
	t, err := readToken(file)
	if err != nil {
		return nil, fmt.Errorf("discovery/consul: token file: %w", err)
	}
	s.token = t
	return s, nil
}

// current returns the token. A file that cannot be read at this moment, or is
// empty because it is being replaced, leaves the last token standing.
func (s *tokenSource) current() string {
	if s.file == "" {
		return s.token
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, err := readToken(s.file); err == nil && t != "" {
		s.token = t
	}
	return s.token
}

func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(b)), nil
}
