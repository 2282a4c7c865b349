package subset

import "testing"

// The hashes are what clients of different versions agree by. These numbers must
// not change.
func TestHashes(t *testing.T) {
	for name, v := range map[string]struct{ got, want uint64 }{
		"circle":              {keyHash(circleSalt(""), "10.0.0.1:80"), 0x8fffcf0ed97148b3},
		"circle of a group":   {keyHash(circleSalt("cart"), "10.0.0.1:80"), 0x9df0d89895e938b5},
		"name":                {keyHash(nameSalt("", "cart-1"), "10.0.0.1:80"), 0xb0a7e96555ff42ce},
		"name within a group": {keyHash(nameSalt("cart", "cart-1"), "10.0.0.1:80"), 0xc4b383e824f598be},
		"among":               {keyHash(amongSalt("cart"), "cart-1"), 0x499b6f8459a2da71},
		"empty":               {keyHash(circleSalt(""), ""), 0xca74a130dbeeecb1},
	} {
		if v.got != v.want {
			t.Errorf("%s: %#016x, want %#016x", name, v.got, v.want)
		}
	}
}
