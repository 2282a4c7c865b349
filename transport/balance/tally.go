package balance

import "sync/atomic"

// A tally counts an endpoint's calls in one word, so that counting them all
// costs no more than counting those in flight: those are the low half, all that
// ever began the high half. Both go round; only differences matter.
type tally struct{ word atomic.Uint64 }

// begin counts one more, and returns how many are in flight then.
func (t *tally) begin() int32 { return int32(uint32(t.word.Add(1<<32 + 1))) }

// end counts one less, and returns how many are left.
func (t *tally) end() int32 { return int32(uint32(t.word.Add(^uint64(0)))) }

// Load returns how many are in flight.
func (t *tally) Load() int64 { return int64(int32(uint32(t.word.Load()))) }

// begun returns how many have begun.
func (t *tally) begun() uint32 { return uint32(t.word.Load() >> 32) }

// ended returns how many have ended.
func (t *tally) ended() uint32 {
	word := t.word.Load()
	return uint32(word>>32) - uint32(word)
}
