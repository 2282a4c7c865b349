package logs

import (
	"errors"
	"fmt"
)

// FromEnv returns the options that the environment asks for: the level in
// GABION_LOG, the format in GABION_LOG_FORMAT, and no colour if NO_COLOR is set;
// an empty variable asks for nothing. getenv is usually [os.Getenv]. The error
// joins every bad value; the options of the good ones come with it.
func FromEnv(getenv func(string) string) (opts []Option, err error) {
	if getenv("NO_COLOR") != "" {
		opts = append(opts, WithColor(false))
	}
	if s := getenv("GABION_LOG"); s != "" {
		level, bad := ParseLevel(s)
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("GABION_LOG: %w", bad))
		} else {
			opts = append(opts, WithLevel(level))
		}
	}
	if s := getenv("GABION_LOG_FORMAT"); s != "" {
		format, bad := ParseFormat(s)
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("GABION_LOG_FORMAT: %w", bad))
		} else {
			opts = append(opts, WithFormat(format))
		}
	}
	return opts, err
}
