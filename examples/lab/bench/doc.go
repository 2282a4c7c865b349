// Package bench lists, runs and prints experiments that compare policies.
//
// An [Experiment] is data and a function that makes a [Row] for each policy.
// [Main] is the command line around a list of them: it picks one by name, shows
// its progress, and writes the rows as text beside what others published, as
// JSON, or as a chart.
package bench
