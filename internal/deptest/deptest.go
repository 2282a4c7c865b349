// Package deptest holds what each package of gabion may import, so that a user
// of one compiles no more than it needs. It has tests only.
package deptest
