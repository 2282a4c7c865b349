package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gabion-go/gabion/transport/transporttest/report"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

func call(start, took time.Duration, ok bool) report.Call {
	c := report.Call{Client: "web", Service: "cart", Route: "GET /", Start: start, End: start + took, Status: 200, OK: ok, Attempts: 1}
	if !ok {
		c.Status, c.Err = 0, report.ErrTimeout
	}
	return c
}

func TestFigures(t *testing.T) {
	rec := report.New(time.Time{}, report.WithName("n"), report.WithSeed(7))
	rec.Call(call(0, 5*ms, true))
	late := call(100*ms, 50*ms, true)
	late.Deadline, late.Attempts = 120*ms, 3
	rec.Call(late)
	rec.Call(call(1500*ms, s, false))
	refused := call(2*s, 0, false)
	refused.Err, refused.Status, refused.Attempts = "", 503, 0
	rec.Call(refused)
	degraded := call(2*s, 5*ms, true)
	degraded.Degraded, degraded.Deadline, degraded.Service = true, 3*s, "stock"
	rec.Call(degraded)
	rec.Attempt(report.Attempt{Service: "cart", Replica: "cart-1", Start: 2500 * ms, OK: true})
	rec.Attempt(report.Attempt{Service: "cart", Replica: "cart-1", Start: 0})
	rec.Served(report.Served{Service: "cart", Replica: "cart-2", Start: s, Late: true, Work: 30 * ms})
	rec.Served(report.Served{Service: "cart", Replica: "cart-2", Start: s, Work: 30 * ms})
	rec.Event(report.Event{At: 2 * s, Kind: report.Heal, Subject: "x"})
	rec.Event(report.Event{At: s, Kind: report.Fault, Subject: "x"})

	r := rec.Report(3 * s)
	for name, c := range map[string]struct{ got, want any }{
		"name":       {r.Name, "n"},
		"seed":       {r.Seed, uint64(7)},
		"duration":   {r.Duration, 3 * s},
		"calls":      {r.Calls, 5},
		"ok":         {r.OK, 3},
		"degraded":   {r.Degraded, 1},
		"success":    {r.Success, 0.6},
		"goodput":    {r.Goodput, 0.4},
		"attempts":   {r.AttemptsPerCall, 1.2},
		"extra":      {r.ExtraRequests, 0.4},
		"errors":     {r.Errors, map[string]int{"timeout": 1, "503": 1}},
		"clamped":    {r.Clamped, 1},
		"late":       {r.Late, 1},
		"late work":  {r.LateWork, 30 * ms},
		"q0":         {r.Quantile(0), time.Microsecond},
		"q1":         {r.Quantile(1), s},
		"per second": {r.PerSecond[1], report.Second{At: s, Offered: 1, Failed: 1, P50: s, P99: s}},
		"replicas": {r.ByReplica, []report.Replica{
			{Service: "cart", Replica: "cart-1", Attempts: 2, OK: 1, PerSecond: []int{1, 0, 1}},
			{Service: "cart", Replica: "cart-2", Late: 1, PerSecond: []int{0, 0, 0}},
		}},
		"events":         {r.Events[0].At, s},
		"of":             {r.Of("stock").Calls, 1},
		"of: replicas":   {len(r.Of("stock").ByReplica), 0},
		"of nobody":      {r.Of("nobody").Calls, 0},
		"between":        {r.Between(100*ms, 2*s).Calls, 2},
		"between: start": {r.Between(100*ms, 2*s).Start, 100 * ms},
		"between: len":   {len(r.Between(100*ms, 2*s).PerSecond), 2},
		"between: event": {len(r.Between(100*ms, 2*s).Events), 1},
		"nothing":        {r.Between(5*s, 9*s).Calls, 0},
		"turned around":  {r.Between(2*s, s).Calls, 0},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, c.got, c.want)
		}
	}
}

// TestIntendedStart: one call that stalls for 10 s holds up those that were due
// behind it, and all of them waited.
func TestIntendedStart(t *testing.T) {
	rec := report.New(time.Time{})
	for i := range 100 {
		due := time.Duration(i) * 100 * ms
		rec.Call(report.Call{Start: due, End: max(due, 10*s) + ms, OK: true})
	}
	if got := rec.Report(10 * s).P50; got < 4900*ms || got > 5100*ms {
		t.Errorf("got median %v, want about 5s", got)
	}
}

func TestQuantilesHaveThreeDigits(t *testing.T) {
	rec := report.New(time.Time{})
	for i := range 100_000 {
		rec.Call(call(0, time.Duration(i+1)*10*time.Microsecond, true))
	}
	r := rec.Report(s)
	for q, want := range map[float64]time.Duration{0.5: 500 * ms, 0.9: 900 * ms, 0.99: 990 * ms, 0.999: 999 * ms, 0.9999: 999900 * time.Microsecond} {
		if got := r.Quantile(q); (got - want).Abs() > want/1000 {
			t.Errorf("%v: got %v, want %v", q, got, want)
		}
	}
}

func TestRecoveredAfter(t *testing.T) {
	for name, c := range map[string]struct {
		seconds string // one letter each: o is OK, x is failed, - is without calls
		want    time.Duration
		ok      bool
	}{
		"never broken": {"oooooo", 0, true},
		"at once":      {"xxoooo", 0, true},
		"later":        {"ooxxoo", 2 * s, true},
		"relapse":      {"ooxoxo", 3 * s, true},
		"never":        {"ooxxxx", 0, false},
		"no calls":     {"oo----", 0, false},
		"silence":      {"oox---", 0, false},
		"gap":          {"oox-oo", s, true},
	} {
		rec := report.New(time.Time{})
		for i, letter := range c.seconds {
			if letter != '-' {
				rec.Call(call(time.Duration(i)*s+500*ms, ms, letter == 'o'))
			}
		}
		got, ok := rec.Report(6*s).RecoveredAfter(2*s, 0.99)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: got %v, %t; want %v, %t", name, got, ok, c.want, c.ok)
		}
	}
}

// records draws what a run might record, sometimes beyond its end.
func records(t *rapid.T) []any {
	at := func(name string) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(12*s)).Draw(t, name))
	}
	who := func(name string) string { return rapid.SampledFrom([]string{"a", "b", "c d\n", ""}).Draw(t, name) }
	all := make([]any, rapid.IntRange(0, 60).Draw(t, "n"))
	for i := range all {
		start, ok := at("start"), rapid.Bool().Draw(t, "ok")
		switch rapid.IntRange(0, 3).Draw(t, "record") {
		case 0:
			all[i] = report.Call{
				Client: who("client"), Service: who("service"), N: rapid.IntRange(0, 2).Draw(t, "n"), Start: start, End: start + at("took"),
				OK: ok, Err: who("err"), Attempts: rapid.IntRange(0, 3).Draw(t, "attempts"), Deadline: at("deadline"),
			}
		case 1:
			all[i] = report.Attempt{Service: who("service"), Replica: who("replica"), Start: start, OK: ok}
		case 2:
			all[i] = report.Served{Service: who("service"), Replica: who("replica"), Start: start, Late: ok, Work: at("work")}
		default:
			all[i] = report.Event{At: start, Kind: who("kind"), Subject: who("subject")}
		}
	}
	return all
}

func record(all []any) *report.Recorder {
	rec := report.New(time.Time{})
	for _, v := range all {
		switch v := v.(type) {
		case report.Call:
			rec.Call(v)
		case report.Attempt:
			rec.Attempt(v)
		case report.Served:
			rec.Served(v)
		case report.Event:
			rec.Event(v)
		}
	}
	return rec
}

// totals are what must add up.
type totals struct {
	Calls, OK, Errors, Attempts, AttemptsOK, Late, Events int
	Work                                                  time.Duration
}

func of(r *report.Report) totals {
	got := totals{Calls: r.Calls, OK: r.OK, Late: r.Late, Events: len(r.Events), Work: r.LateWork}
	for _, n := range r.Errors {
		got.Errors += n
	}
	for _, p := range r.ByReplica {
		got.Attempts += p.Attempts
		got.AttemptsOK += p.OK
	}
	return got
}

// TestSums: the totals, the rows and two halves are each the sum of the
// records, none lost.
func TestSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := records(t)
		var want totals
		for _, v := range all {
			switch v := v.(type) {
			case report.Call:
				want.Calls++
				if v.OK {
					want.OK++
				} else {
					want.Errors++
				}
			case report.Attempt:
				want.Attempts++
				if v.OK {
					want.AttemptsOK++
				}
			case report.Served:
				if v.Late {
					want.Late++
					want.Work += v.Work
				}
			case report.Event:
				want.Events++
			}
		}
		r := record(all).Report(10 * s)
		if got := of(r); got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		var rows report.Second
		for _, row := range r.PerSecond {
			rows.Offered, rows.OK = rows.Offered+row.Offered, rows.OK+row.OK
			rows.Failed, rows.Attempts = rows.Failed+row.Failed, rows.Attempts+row.Attempts
		}
		if rows != (report.Second{Offered: want.Calls, OK: want.OK, Failed: want.Errors, Attempts: want.Attempts}) {
			t.Fatalf("rows add up to %+v, want %+v", rows, want)
		}
		cut := time.Duration(rapid.IntRange(0, 10).Draw(t, "cut")) * s
		a, b := of(r.Between(0, cut)), of(r.Between(cut, 10*s))
		halves := totals{
			a.Calls + b.Calls, a.OK + b.OK, a.Errors + b.Errors, a.Attempts + b.Attempts, a.AttemptsOK + b.AttemptsOK,
			a.Late + b.Late, a.Events + b.Events, a.Work + b.Work,
		}
		if cut > 0 && cut < 10*s && halves != want {
			t.Fatalf("halves at %v add up to %+v, want %+v", cut, halves, want)
		}
	})
}

// write returns everything that r can write.
func write(t interface{ Fatal(...any) }, r *report.Report) string {
	var b bytes.Buffer
	for _, f := range []func(io.Writer) error{
		r.Trace, r.WriteText, r.WriteJSON, r.WriteCSV, r.WriteSVG, func(w io.Writer) error { return r.Timeline(w, 0) },
	} {
		if err := f(&b); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestOrderDoesNotMatter: what is written is the same, byte for byte, however
// the records came in.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := records(t)
		want := write(t, record(all).Report(10*s))
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "shuffle"), 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if got := write(t, record(all).Report(10*s)); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	rec := report.New(time.Time{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				at := time.Duration(i) * ms
				rec.Call(call(at, ms, true))
				rec.Attempt(report.Attempt{Replica: fmt.Sprint(i % 10), Start: at})
				rec.Served(report.Served{Start: at})
				rec.Event(report.Event{At: at})
				if i%250 == 0 {
					write(t, rec.Report(s))
				}
			}
		})
	}
	wg.Wait()
	if r := rec.Report(s); r.Calls != 4000 || len(r.Events) != 4000 {
		t.Errorf("got %d calls, %d events", r.Calls, len(r.Events))
	}
}

func TestLaterRecordsDoNotChangeAReport(t *testing.T) {
	rec := record([]any{call(0, ms, true), report.Attempt{Start: 0, Replica: "a"}})
	r := rec.Report(s)
	before := write(t, r)
	rec.Call(call(0, ms, false))
	rec.Attempt(report.Attempt{Start: 0, Replica: "a"})
	if got := write(t, r.Between(0, s)); got != before {
		t.Errorf("got\n%s\nwant\n%s", got, before)
	}
}

func TestTraceNeedsRecords(t *testing.T) {
	rec := report.New(time.Time{}, report.WithRecords(false))
	rec.Attempt(report.Attempt{Replica: "a"})
	r := rec.Report(s)
	if err := r.Trace(io.Discard); err == nil || !strings.Contains(err.Error(), "WithRecords(true)") {
		t.Errorf("got %v", err)
	}
	if r.ByReplica[0].Attempts != 1 {
		t.Errorf("got %+v", r.ByReplica)
	}
}

func TestTraceHasOneLineEach(t *testing.T) {
	var b strings.Builder
	r := record([]any{report.Event{At: 1500 * ms, Kind: "fault", Subject: "a\nb"}, call(s, ms, true)}).Report(2 * s)
	if err := r.Trace(&b); err != nil {
		t.Fatal(err)
	}
	want := `1.000000000 call web #0 cart "GET /" until 1.001000000 status 200 err "" ok true attempts 1 deadline 0.000000000 degraded false
1.500000000 event fault "a\nb" ""
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

// day is a report of a long run with many faults.
func day(hours int) *report.Report {
	rec := report.New(time.Time{}, report.WithRecords(false))
	for i := range hours * 3600 {
		at := time.Duration(i) * s
		rec.Call(call(at, ms, i%7 != 0))
		if i%10 == 0 {
			rec.Event(report.Event{At: at, Kind: report.Fault, Subject: "<host & co>"})
			rec.Event(report.Event{At: at + 5*s, Kind: report.Heal, Subject: "<host & co>"})
			rec.Event(report.Event{At: at, Kind: report.Eject, Subject: "a\x00b"})
		}
	}
	return rec.Report(time.Duration(hours) * time.Hour)
}

func TestTimelineFits(t *testing.T) {
	for _, hours := range []int{0, 1, 24} {
		var b strings.Builder
		if err := day(hours).Timeline(&b, 100); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(b.String(), "\n")
		if len(lines) > 4+40*3 {
			t.Errorf("%d h: %d lines", hours, len(lines))
		}
		for _, l := range lines[3:] {
			if len(l) > 130 || strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%d h: %q", hours, l)
			}
		}
	}
}

func TestMachinesRead(t *testing.T) {
	r := day(1)
	var b bytes.Buffer
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	if rows, err := csv.NewReader(&b).ReadAll(); err != nil || len(rows) != 3601 || !slices.Equal(rows[2], []string{"1", "1", "1", "0", "0", "1", "1", ""}) {
		t.Errorf("CSV: got %d rows, %q, %v", len(rows), rows[2], err)
	}
	b.Reset()
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var j struct {
		Calls int
		P99   string
	}
	if err := json.Unmarshal(b.Bytes(), &j); err != nil || j.Calls != 3600 || j.P99 != "1ms" {
		t.Errorf("JSON: got %+v, %v", j, err)
	}
	for _, r := range []*report.Report{r, day(0)} {
		b.Reset()
		if err := r.WriteSVG(&b); err != nil {
			t.Fatal(err)
		}
		svg := b.String()
		for dec := xml.NewDecoder(&b); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("SVG: %v", err)
			}
		}
		if strings.Contains(svg, "<script") || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Error("SVG has a script or what is no number")
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteErrors(t *testing.T) {
	r := record([]any{call(0, ms, true)}).Report(s)
	for i, f := range []func(io.Writer) error{
		r.Trace, r.WriteText, r.WriteJSON, r.WriteCSV, r.WriteSVG, func(w io.Writer) error { return r.Timeline(w, 0) },
	} {
		if err := f(brokenWriter{}); !errors.Is(err, errBroken) {
			t.Errorf("%d: got %v", i, err)
		}
	}
}

// BenchmarkHour records an hour of 200,000 calls of 3 attempts each, with every
// record kept, and makes the report.
func BenchmarkHour(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		rec := report.New(time.Time{})
		for i := range 200_000 {
			at := time.Duration(i) * 18 * ms
			c := call(at, time.Duration(i%1000)*ms, true)
			c.N, c.Attempts = i, 3
			rec.Call(c)
			for k := range 3 {
				replica := replicas[(i+k)%len(replicas)]
				rec.Attempt(report.Attempt{Client: "web", Service: "cart", Replica: replica, N: i, Kind: "retry", Start: at, End: c.End})
				rec.Served(report.Served{Service: "cart", Replica: replica, Start: at, End: c.End})
			}
		}
		rec.Report(time.Hour)
	}
}

var replicas = []string{"cart-1", "cart-2", "cart-3", "cart-4", "cart-5"}
