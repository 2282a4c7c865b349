package report

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Trace writes every record, one a line, in the order of time and then of text:
// the same records give the same bytes in whatever order they were recorded. A
// line begins with when the record started, in seconds. It is an error if
// attempts and served requests were not kept (see [WithRecords]).
func (r *Report) Trace(w io.Writer) error {
	if !r.data.keep {
		return errors.New("report: trace: attempts were not kept; record with WithRecords(true)")
	}
	lines := r.lines()
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	out := bufio.NewWriter(w)
	var texts []string
	for from := 0; from < len(lines); {
		to := from
		texts = texts[:0]
		for ; to < len(lines) && lines[to].at == lines[from].at; to++ {
			texts = append(texts, lines[to].record.text(r.data.names))
		}
		slices.Sort(texts)
		for _, t := range texts {
			fmt.Fprintf(out, "%s %s\n", offset(lines[from].at), t)
		}
		from = to
	}
	return out.Flush()
}

// line is a record and when it started.
type line struct {
	at     time.Duration
	record interface{ text(names []string) string }
}

// lines returns the records in the window, in no order.
func (r *Report) lines() []line {
	d, w := r.data, r.window
	lines := make([]line, 0, r.Calls+d.attempts.n+d.served.n+len(r.Events))
	for c := range d.callsIn(w) {
		lines = append(lines, line{c.start, c})
	}
	for a := range d.attempts.all() {
		if w.has(a.start) && d.of(a.service, w) {
			lines = append(lines, line{a.start, a})
		}
	}
	for s := range d.served.all() {
		if w.has(s.start) && d.of(s.service, w) {
			lines = append(lines, line{s.start, s})
		}
	}
	for _, e := range r.Events {
		lines = append(lines, line{e.At, eventLine(e)})
	}
	return lines
}

func (c *call) text(names []string) string {
	return fmt.Sprintf("call %s #%d %s %s until %s status %d err %s ok %t attempts %d deadline %s degraded %t",
		word(names[c.client]), c.n, word(names[c.service]), word(names[c.route]), offset(c.end), c.status, word(names[c.err]),
		c.ok, c.attempts, offset(c.deadline), c.degraded)
}

func (a *attempt) text(names []string) string {
	return fmt.Sprintf("attempt %s #%d %s %s %s until %s status %d err %s ok %t",
		word(names[a.client]), a.n, word(names[a.kind]), word(names[a.service]), word(names[a.replica]), offset(a.end), a.status,
		word(names[a.err]), a.ok)
}

func (s *served) text(names []string) string {
	return fmt.Sprintf("served %s %s until %s status %d late %t work %s",
		word(names[s.service]), word(names[s.replica]), offset(s.end), s.status, s.late, offset(s.work))
}

type eventLine Event

func (e eventLine) text([]string) string {
	return fmt.Sprintf("event %s %s %s", word(e.Kind), word(e.Subject), word(e.Detail))
}

// word writes s as one word, in quotes if it is none.
func word(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// offset writes t in seconds to the nanosecond.
func offset(t time.Duration) string {
	sign := ""
	if t < 0 {
		sign = "-"
	}
	return fmt.Sprintf("%s%d.%09d", sign, max(t/time.Second, -t/time.Second), max(t%time.Second, -(t%time.Second)))
}
