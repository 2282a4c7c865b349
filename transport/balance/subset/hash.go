package subset

import "github.com/gabion-go/gabion/internal/random"

// The hashes of this file are the contract between clients of all versions.
// Each use has a seed of its own: a service that calls itself would otherwise
// find its clients where its backends are.
const (
	circleSeed = 1
	nameSeed   = 2
	amongSeed  = 3
)

func circleSalt(group string) uint64   { return random.Hash(circleSeed, group) }
func nameSalt(group, id string) uint64 { return random.Hash(random.Hash(nameSeed, group), id) }
func amongSalt(group string) uint64    { return random.Hash(amongSeed, group) }

func keyHash(salt uint64, key string) uint64 { return random.Hash(salt, key) }
