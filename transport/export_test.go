package transport

// Gathering returns how many groups of lookups c keeps.
func Gathering(c *Client) int {
	c.layers.batches.mu.Lock()
	defer c.layers.batches.mu.Unlock()
	return len(c.layers.batches.groups)
}

// CPUTime returns the processor time that the process has used; zero where the
// system cannot tell.
var CPUTime = cpuTime
