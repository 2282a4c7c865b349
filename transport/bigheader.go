package transport

import (
	"fmt"
	"strings"
)

// headerBytes is the most that the header of a response may have.
const headerBytes = 64 << 10

// bigHeaderTexts are what net/http says of a header that is larger than it was
// told to take, over HTTP/1 and HTTP/2. It has no errors for that which could be
// asked for.
var bigHeaderTexts = [...]string{
	"net/http: server response headers exceeded",
	"http2: response header list larger than advertised limit",
}

// bigHeader returns ErrHeaderTooLarge in place of what net/http says of a header
// that is, and nil for all other errors.
func bigHeader(err error) error {
	text := err.Error()
	for _, t := range bigHeaderTexts {
		if strings.Contains(text, t) {
			return fmt.Errorf("%w: more than %d bytes", ErrHeaderTooLarge, headerBytes)
		}
	}
	return nil
}
