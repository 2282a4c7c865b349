//go:build tools

// Package consul pins the Consul server that the tests of gabion run against.
// It is built as a program of its own, with GOWORK=off, and never linked into
// the library: a test tool only, under the Business Source License.
// internal/consultest builds it and keeps it in the user's cache directory.
package consul

import _ "github.com/hashicorp/consul"
