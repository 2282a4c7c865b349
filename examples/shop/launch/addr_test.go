package launch

import "testing"

func TestCheckAddr(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.2:0": true, "[::1]:80": true, "localhost:8080": true,
		"8080": false, ":8080": false, "0.0.0.0:8080": false, "[::]:8080": false, "10.0.0.1:80": false, "shop.example.com:80": false,
	} {
		if err := CheckAddr(addr); (err == nil) != ok {
			t.Errorf("CheckAddr(%q) = %v", addr, err)
		}
	}
}
