// Package experiments has the experiments of the lab, one to a file. README.md
// in the folder above lists their sources and what they came to.
package experiments
