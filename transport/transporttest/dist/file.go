package dist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-go/gabion/internal/duration"
)

// maxFile bounds the bytes of a file of quantiles.
const maxFile = 32 << 20

// Load returns d with what its File holds in place of File; a Dist without a
// File comes back as it is.
func (d Dist) Load(fsys fs.FS) (Dist, error) {
	if d.File == "" {
		return d, nil
	}
	f, err := fsys.Open(d.File)
	if err != nil {
		return Dist{}, fmt.Errorf("dist: file %q: %w", d.File, err)
	}
	defer f.Close()
	read, err := ReadQuantiles(f)
	if err != nil {
		return Dist{}, fmt.Errorf("dist: file %q: %w", d.File, err)
	}
	return read, nil
}

// ReadQuantiles reads a distribution of [KindQuantiles] that was measured. It
// knows four forms, in each of which a duration is written like "1.5ms":
//
//   - JSON, quantiles: [{"q": 0.5, "d": "3ms"}, {"q": 0.99, "d": "90ms"}]
//   - JSON, samples in any order: ["3ms", "2.8ms", "91ms"]
//   - lines, quantiles: 0.5,3ms
//   - lines, samples in any order: 3ms
//
// Of lines, empty ones, those that begin with # and a first line "q,d" or "d"
// are skipped. At most 32 MiB are read.
func ReadQuantiles(r io.Reader) (Dist, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return Dist{}, fmt.Errorf("dist: read quantiles: %w", err)
	}
	if len(b) > maxFile {
		return Dist{}, fmt.Errorf("dist: read quantiles: more than %d bytes; keep fewer samples", maxFile)
	}
	read := readLines
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte{'['}) {
		read = readArray
	}
	q, err := read(b)
	if err != nil {
		return Dist{}, fmt.Errorf("dist: read quantiles: %w", err)
	}
	d := FromQuantiles(q...)
	return d, d.Validate()
}

// readArray reads a JSON array of quantiles or of samples.
func readArray(b []byte) ([]Quantile, error) {
	var quantiles []Quantile
	var samples []duration.Duration
	ofSamples := bytes.HasPrefix(bytes.TrimSpace(bytes.TrimSpace(b)[1:]), []byte{'"'})
	if !ofSamples {
		err := json.Unmarshal(b, &quantiles)
		return quantiles, err
	}
	if err := json.Unmarshal(b, &samples); err != nil {
		return nil, err
	}
	d := make([]time.Duration, len(samples))
	for i, s := range samples {
		d[i] = time.Duration(s)
	}
	return fromSamples(d), nil
}

// readLines reads one quantile or one sample from each line.
func readLines(b []byte) ([]Quantile, error) {
	var quantiles []Quantile
	var samples []time.Duration
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		first := len(quantiles)+len(samples) == 0
		if line == "" || line[0] == '#' || first && (line == "d" || strings.ReplaceAll(line, " ", "") == "q,d") {
			continue
		}
		q, isQuantile, err := readLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if isQuantile {
			quantiles = append(quantiles, q)
		} else {
			samples = append(samples, q.D)
		}
	}
	if len(quantiles) > 0 && len(samples) > 0 {
		return nil, errors.New("some lines are quantiles such as 0.5,3ms and some are samples such as 3ms: want all alike")
	}
	if len(samples) > 0 {
		return fromSamples(samples), nil
	}
	return quantiles, nil
}

func readLine(line string) (q Quantile, isQuantile bool, err error) {
	part, value, isQuantile := strings.Cut(line, ",")
	if !isQuantile {
		value = part
	} else if q.Q, err = strconv.ParseFloat(strings.TrimSpace(part), 64); err != nil {
		return q, true, fmt.Errorf("%.40q: want a quantile from 0 to 1 before the comma", part)
	}
	if q.D, err = time.ParseDuration(strings.TrimSpace(value)); err != nil {
		return q, isQuantile, fmt.Errorf("%.40q: want a duration such as 3ms", value)
	}
	return q, isQuantile, nil
}

// fromSamples returns the quantiles of samples, which it sorts: the shortest
// is at 0, the longest at 1, and the others are evenly between.
func fromSamples(samples []time.Duration) []Quantile {
	slices.Sort(samples)
	q := make([]Quantile, len(samples))
	for i, d := range samples {
		q[i] = Quantile{float64(i) / float64(max(1, len(samples)-1)), d}
	}
	return q
}
