// Package kit holds the few things that several services of the shop share:
// [Money], and [Faults], the switch that makes an instance slow or failing for
// the chaos command. Nothing in it belongs to one service's domain.
package kit
