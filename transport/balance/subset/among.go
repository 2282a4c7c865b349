package subset

// Among returns the client id of group with its place among ids, all clients of
// the group that there are: itself too, each once, in any order. The place is by
// a hash of the ids, so that those with similar ones are not neighbors. If id is
// not among ids, as before its registration is seen, the place is not known.
//
// It takes O(len(ids)) and allocates nothing.
func Among(group, id string, ids []string) Client {
	salt := amongSalt(group)
	own := keyHash(salt, id)
	before, found := 0, false
	for _, other := range ids {
		if keyHash(salt, other) < own {
			before++
		}
		found = found || other == id
	}
	c := Client{Group: group, ID: id}
	if found {
		c.Ordinal, c.Count = before, len(ids)
	}
	return c
}
