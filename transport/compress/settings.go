package compress

import (
	"compress/gzip"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/gabion-go/gabion/internal/strictjson"
)

// Settings say which responses are compressed. A zero field means its
// default. In JSON an unknown name is an error.
type Settings struct {
	// MinBytes is the least that a body must have: below it compression costs
	// more than it saves. Default 1024.
	MinBytes int `json:"min_bytes,omitzero"`
	// Level is gzip's, from 1, fastest, to 9, smallest. Default 5.
	Level int `json:"level,omitzero"`
	// Types are the media types worth compressing: "application/json", all of
	// a kind as "text/*", or all of a syntax as "*+json". Streams of events,
	// text/event-stream, are compressed only if named in full. Default
	// [DefaultTypes].
	Types []string `json:"types,omitzero"`
}

// DefaultTypes returns what is compressed by default.
func DefaultTypes() []string {
	return []string{"text/*", "*+json", "*+xml", "application/json", "application/javascript", "application/xml", "application/x-ndjson", "application/wasm"}
}

// WithDefaults returns s with every zero field set to its default.
func (s Settings) WithDefaults() Settings {
	if s.MinBytes == 0 {
		s.MinBytes = 1024
	}
	if s.Level == 0 {
		s.Level = 5
	}
	if s.Types == nil {
		s.Types = DefaultTypes()
	}
	return s
}

// Validate reports, joined, everything that is wrong with s. The zero Settings
// are valid.
func (s Settings) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("compress: "+format, args...))
	}
	if s.MinBytes < 0 {
		bad("min_bytes %d: must not be negative", s.MinBytes)
	}
	if s.Level != 0 && (s.Level < gzip.BestSpeed || s.Level > gzip.BestCompression) {
		bad("level %d: must be from 1 to 9", s.Level)
	}
	for _, t := range s.Types {
		if !isPattern(t) {
			bad(`type %q: want one such as "application/json", "text/*" or "*+json", in lower case`, t)
		}
	}
	return errors.Join(errs...)
}

// UnmarshalJSON reads what the object names and leaves the rest of s as it was.
func (s *Settings) UnmarshalJSON(b []byte) error {
	type plain Settings // without this method
	if err := strictjson.Unmarshal(b, (*plain)(s)); err != nil {
		return fmt.Errorf("compress: settings: %w", err)
	}
	return nil
}

// isPattern reports whether t can be one of the types.
func isPattern(t string) bool {
	media, params, err := mime.ParseMediaType(t)
	if err != nil || media != t || len(params) > 0 {
		return false
	}
	suffix, bySuffix := strings.CutPrefix(t, "*+")
	kind, name, _ := strings.Cut(strings.TrimSuffix(t, "/*")+"/", "/")
	if bySuffix {
		return suffix != "" && !strings.ContainsAny(suffix, "*/")
	}
	return strings.Contains(t, "/") && !strings.Contains(kind+name, "*")
}

// compressible reports whether a content type is among the ones to compress.
func (s *Settings) compressible(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if slices.Contains(s.Types, media) {
		return true
	}
	if media == "text/event-stream" {
		return false
	}
	kind, _, _ := strings.Cut(media, "/")
	_, suffix, _ := strings.Cut(media, "+")
	return slices.Contains(s.Types, kind+"/*") || suffix != "" && slices.Contains(s.Types, "*+"+suffix)
}
