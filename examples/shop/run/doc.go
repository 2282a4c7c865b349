// Package run opens the shop and runs its services. [Shop] is the launcher: it
// starts every instance of every service as a child process of its own.
// [Service] is what runs in such a process.
package run
