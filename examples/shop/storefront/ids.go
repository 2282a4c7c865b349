package storefront

// validID reports whether s can be the ID of a product or a cart: 1 to 64
// letters, digits, '-', '_' and '.', but not "." or "..". Anything else is
// not found, and never becomes part of a neighbour's URL.
func validID(s string) bool {
	if s == "" || len(s) > 64 || s == "." || s == ".." {
		return false
	}
	for _, b := range []byte(s) {
		if !('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '_' || b == '.') {
			return false
		}
	}
	return true
}

// validKey reports whether s can be an idempotency key: 1 to 128 printable
// ASCII characters.
func validKey(s string) bool {
	for _, b := range []byte(s) {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 128
}
