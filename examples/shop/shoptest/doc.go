// Package shoptest runs the whole shop in a test, in virtual time.
//
// The five services run in a [transporttest.Network] as the very programs that
// "shop service" starts, with their own stores, SQLite and bbolt, on a disk in
// memory. Two kinds of tests use it. Those in promises_test.go show one failure
// each and what the shop promises about it. Those in simulation_test.go let
// buyers loose on a shop in which everything fails that can, by chance that
// follows from a seed, and then settle the accounts: what was acknowledged must
// be there, once, and the shop must be well again when its hosts are.
package shoptest
