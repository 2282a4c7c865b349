package transport

// CPUTime returns the processor time that the process has used; zero where the
// system cannot tell.
var CPUTime = cpuTime
