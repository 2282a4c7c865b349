// Package inventory counts the shop's goods and turns a cart into an order. It
// is the one authority against ordering twice: a cart is reserved once, and so
// is an idempotency key, whatever happens to the processes and the calls in
// between.
//
// Stock and reservations live in one SQLite file that all replicas of the
// service share. A reservation that has been acknowledged is on the disk.
package inventory
