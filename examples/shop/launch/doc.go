// Package launch runs a handful of service processes on one machine as an
// orchestrator would: it starts them, puts a name before each line they write,
// restarts what dies or no longer answers, and drains them in order. A
// [RunFile] tells other programs what runs where.
//
// It is made for the cart shop and for nothing larger; in production this is
// the work of systemd, Nomad or Kubernetes.
package launch
