package observe_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/gabion-go/gabion/observe"
	"github.com/gabion-go/gabion/observe/admin"
)

func Example() {
	tel, err := observe.New("cart", observe.WithOutput(os.Stdout))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := tel.Shutdown(context.Background()); err != nil {
			fmt.Println(err)
		}
	}()

	served := tel.Metrics().Server("cart")
	served.Begin("GET")
	served.End("GET", "GET /carts/{id}", http.StatusOK, 3*time.Millisecond)

	operators := httptest.NewServer(admin.New(admin.Config{
		Name: "cart", Metrics: tel.MetricsHandler(), Level: tel.Level(), Logger: tel.Logger(),
	}))
	defer operators.Close()
	resp, err := operators.Client().Get(operators.URL + "/metrics")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}
