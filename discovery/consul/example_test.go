package consul_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gabion-go/gabion/discovery"
	"github.com/gabion-go/gabion/discovery/consul"
)

func ExampleOpen() {
	agent := exampleAgent()
	defer agent.Close()

	openers := discovery.Openers{"consul": consul.Open}
	backend, err := openers.Open(context.Background(), "consul://"+agent.Listener.Addr().String()+"?tag=blue")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for list, err := range backend.Watch(ctx, "pricing") {
		if err != nil {
			fmt.Println(err) // and the last list stands
			continue
		}
		for _, in := range list {
			fmt.Println(in.ID, in.Addr, in.Zone)
		}
		break
	}
	// Output:
	// pricing-1 10.0.0.1:8080 eu-1a
	// pricing-2 10.0.0.7:8080
}

func ExampleBackend_Register() {
	agent := exampleAgent()
	defer agent.Close()
	backend, err := consul.New(consul.Config{Address: agent.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()

	// A *health.Checker has a method for this.
	status := func() (discovery.Status, <-chan struct{}) { return discovery.Passing, nil }
	registration, err := backend.Register(context.Background(), discovery.Instance{
		ID:      "pricing-1",
		Service: "pricing",
		Addr:    "10.0.0.1:8080",
	}, status)
	if err != nil {
		fmt.Println(err)
		return
	}
	// ... serve ...
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	fmt.Println("left:", registration.Deregister(ctx))
	// Output: left: <nil>
}

func ExampleParseURL() {
	conf, err := consul.ParseURL("consul+https://consul.internal?dc=east&tag=blue&check=http&ca_file=/etc/consul/ca.pem")
	fmt.Println(conf.Address, conf.Datacenter, conf.Tags, conf.Check, conf.TLS.Enabled, err)

	_, err = consul.ParseURL("consul://consul.internal?ttl=10")
	fmt.Println(err)
	// Output:
	// consul.internal:8501 east [blue] http true <nil>
	// discovery/consul: parameter ttl: "10": want a duration such as 10s or 5m
}

// exampleAgent stands in for a Consul agent.
func exampleAgent() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/health/service/") {
			return
		}
		w.Header().Set("X-Consul-Index", "42")
		_, _ = io.WriteString(w, `[
			{"Node": {"Address": "10.0.0.1"}, "Service": {"ID": "pricing-1", "Port": 8080, "Meta": {"zone": "eu-1a"}}},
			{"Node": {"Address": "10.0.0.9"}, "Service": {"ID": "pricing-2", "Address": "10.0.0.7", "Port": 8080}}
		]`)
	}))
}
