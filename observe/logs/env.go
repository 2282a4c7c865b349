package logs

import (
	"errors"
	"fmt"
)

// FromEnv returns the options that the environment asks for: the level in
// GABION_LOG, the format in GABION_LOG_FORMAT, and no colour if NO_COLOR is not
// empty. getenv is usually [os.Getenv]. The error joins every bad value; the
// options of the good ones come with it.
func FromEnv(getenv func(string) string) ([]Option, error) {
	level, badLevel := ParseLevel(getenv("GABION_LOG"))
	format, badFormat := ParseFormat(getenv("GABION_LOG_FORMAT"))
	opts := []Option{WithColor(getenv("NO_COLOR") == "")}
	if badLevel != nil {
		badLevel = fmt.Errorf("GABION_LOG: %w", badLevel)
	} else {
		opts = append(opts, WithLevel(level))
	}
	if badFormat != nil {
		badFormat = fmt.Errorf("GABION_LOG_FORMAT: %w", badFormat)
	} else {
		opts = append(opts, WithFormat(format))
	}
	return opts, errors.Join(badLevel, badFormat)
}
