package ratelimit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

	"github.com/gabion-go/gabion/transport"
	"github.com/gabion-go/gabion/transport/ratelimit"
)

func Example() {
	orders, err := ratelimit.New(ratelimit.Policy{Name: "orders", Requests: 2, Window: time.Minute},
		ratelimit.WithKey(ratelimit.ClientIP(netip.MustParsePrefix("10.0.0.0/8")))) // our load balancers
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("POST /orders", orders.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
	})))
	for range 3 {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/orders", nil))
		remaining, _, _ := strings.Cut(w.Header().Get("RateLimit"), ";t=") // which is the seconds until there is one more
		fmt.Println(w.Code, remaining)
	}
	// Output:
	// 201 "orders";r=1
	// 201 "orders";r=0
	// 429 "orders";r=0
}

func ExampleLimiter_Take() {
	l, err := ratelimit.New(ratelimit.Policy{Requests: 100, Window: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Take("alice", 60).Remaining)
	fmt.Println(l.Take("bob", 1).Remaining)
	fmt.Println(l.Take("alice", 60).Allowed)
	// Output:
	// 40
	// 99
	// false
}

// The same names serve for fairness: while a server is busy, clients take turns.
func ExampleClientIP() {
	client := ratelimit.ClientIP(netip.MustParsePrefix("10.0.0.0/8"))
	s, err := transport.NewServer(http.NotFoundHandler(), transport.WithFairness(client))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Close() }()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:4711" // our load balancer
	r.Header.Set("X-Forwarded-For", "198.51.100.1, 203.0.113.9")
	fmt.Println(client(r))
	// Output:
	// 203.0.113.9
}
