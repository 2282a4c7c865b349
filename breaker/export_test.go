package breaker

// StopTimer makes b depend on calls and reads alone, as if the process had been
// stopped when its timer was due.
func (b *Breaker) StopTimer() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer.Stop()
}
