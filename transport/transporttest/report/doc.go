// Package report records what happened in a run and says what it meant: how
// many calls succeeded, how long they took, what it cost, and when.
//
// A [Recorder] takes calls as their callers saw them, the attempts that went
// out for them, what servers did, and events. It makes a [Report]: plain
// figures, slices of it in time and by service, and charts for people, machines
// and bug reports.
//
// # What is counted when
//
// All times are offsets from the start of the run. A call, an attempt and a
// served request belong to the second in which they started, and a call starts
// when it was meant to: one that had to wait before it could be sent has been
// waiting since then. Latency therefore leaves out nothing (no coordinated
// omission), and Offered = OK + Failed in every second.
//
// # Latency
//
// Quantiles are of all calls, answered or not, and come from an HdrHistogram
// with 3 significant digits from 1 µs to 1 h. What is outside counts as the
// nearest of the two, and in Report.Clamped. Those of a single second are exact.
package report
