package balance

// WithProber sets who asks an endpoint for its load out of band. Policies that
// go by what servers report have f called by a pick that finds what they know
// too little or too old; the answer comes by [Endpoint.Report], if it comes. f
// must not block, and may do nothing: it is called again when a report is
// wanted again. Default nobody: then responses are all there is to learn from.
func WithProber(f func(*Endpoint)) Option {
	return optionFunc(func(b *Balancer) { b.prober = f })
}
