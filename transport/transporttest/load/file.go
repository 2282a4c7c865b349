package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
)

// maxFile bounds the bytes of a file of arrivals.
const maxFile = 32 << 20

// Read returns l with what its File and that of its Think hold in their place;
// a Load without files comes back as it is.
func (l Load) Read(fsys fs.FS) (Load, error) {
	think, err := l.Think.Load(fsys)
	if err != nil {
		return Load{}, fmt.Errorf("load: think: %w", err)
	}
	l.Think = think
	if l.File == "" {
		return l, nil
	}
	f, err := fsys.Open(l.File)
	if err != nil {
		return Load{}, fmt.Errorf("load: file %q: %w", l.File, err)
	}
	defer f.Close()
	if l.At, err = ReadArrivals(f); err != nil {
		return Load{}, fmt.Errorf("load: file %q: %w", l.File, err)
	}
	l.File = ""
	return l, nil
}

// ReadArrivals reads the offsets of a [Replay] and returns them in ascending
// order. It knows three forms:
//
//   - JSON: ["0s", "12.5ms", "1.2s"]
//   - lines with offsets: 12.5ms
//   - lines that begin with a time as in an access log:
//     2026-03-14T09:26:53.589Z
//
// Times become offsets from the earliest one, and what follows one on its line
// after a space or a comma is left alone. Of lines, empty ones and those that
// begin with # are skipped. At most 32 MiB are read.
func ReadArrivals(r io.Reader) ([]time.Duration, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("load: read arrivals: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("load: read arrivals: more than %d bytes; replay a part of it", maxFile)
	}
	read := readLines
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte{'['}) {
		read = readArray
	}
	at, err := read(b)
	if err != nil {
		return nil, fmt.Errorf("load: read arrivals: %w", err)
	}
	slices.Sort(at)
	return at, Load{Kind: Replay, At: at}.validateReplay()
}

func readArray(b []byte) ([]time.Duration, error) {
	var at []duration.Duration
	err := json.Unmarshal(b, &at)
	return convert[time.Duration](at), err
}

// readLines reads one offset or one time from each line.
func readLines(b []byte) ([]time.Duration, error) {
	var offsets []time.Duration
	var times []time.Time
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if d, err := time.ParseDuration(line); err == nil {
			offsets = append(offsets, d)
			continue
		}
		first, _, _ := strings.Cut(strings.ReplaceAll(line, ",", " "), " ")
		t, err := time.Parse(time.RFC3339, first)
		if err != nil {
			return nil, fmt.Errorf("line %d: %.40q: want an offset such as 12.5ms or a time such as 2026-03-14T09:26:53.589Z", n, line)
		}
		times = append(times, t)
	}
	if len(offsets) > 0 && len(times) > 0 {
		return nil, errors.New("some lines are offsets and some are times: want all alike")
	}
	if len(times) > 0 {
		first := slices.MinFunc(times, time.Time.Compare)
		for _, t := range times {
			offsets = append(offsets, t.Sub(first))
		}
	}
	return offsets, nil
}
