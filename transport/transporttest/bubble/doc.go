// Package bubble runs code in virtual time, within go test or without it.
//
// [testing/synctest] gives a bubble, in which time passes at once when every
// goroutine waits, to tests alone. [Run] gives one to any program, so that what
// is shown by a command is what the tests check:
//
//	err := bubble.Run("one hour", func(tb testing.TB) {
//		time.Sleep(time.Hour) // takes no time
//	})
//
// Nothing is printed, no flag is registered, and what fails becomes an error.
package bubble
