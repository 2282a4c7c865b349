// Package doctor looks over the policies of a fleet for settings that are valid
// each by itself and make no sense together: a caller that waits less than what
// it calls may take, retries that multiply from hop to hop, writes that are sent
// twice, a drain that takes longer than the process is left alive.
//
// [Check] takes plain data and makes no calls, so it fits a test of a fleet's
// settings as well as a running service, which shows what it finds of its own in
// /debug/gabion.
package doctor
