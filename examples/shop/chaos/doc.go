// Package chaos breaks a running shop on purpose, one fault at a time, and
// mends it again: it kills, hangs, slows, fails and terminates instances and
// takes whole services down, so that one can watch what the callers make of
// it. It also restarts the shop instance by instance, as a deployment does.
package chaos
