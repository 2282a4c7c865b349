package health_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gabion-go/gabion/health"
)

func Example() {
	checker := health.New()
	_, _ = checker.Add("database", func(context.Context) error { return nil })
	_, _ = checker.Add("recommendations", func(context.Context) error {
		return errors.New("cold")
	}, health.WithDegradeOnly(true))

	mux := http.NewServeMux()
	mux.Handle("/livez", checker.LiveHandler())
	mux.Handle("/readyz", checker.ReadyHandler())
	mux.Handle("/startupz", checker.StartupHandler())

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
	fmt.Println(answer.Code, answer.Body)
	// Output: 200 {"status":"warn"}
}

func ExampleChecker_Status() {
	checker := health.New()
	status, changed := checker.Status()
	fmt.Println(status)
	checker.SetDraining()
	<-changed
	status, _ = checker.Status()
	fmt.Println(status)
	// Output:
	// passing
	// critical
}

func ExampleWithThresholds() {
	checker := health.New()
	_, err := checker.Add("mail relay", health.TCP("127.0.0.1:25"), health.WithThresholds(2, 3))
	fmt.Println(err)
	fmt.Println(checker.Results()[0].Healthy)
	// Output:
	// <nil>
	// false
}

func ExampleWithManualStart() {
	checker := health.New(health.WithManualStart(true))
	started := httptest.NewRecorder()
	checker.StartupHandler().ServeHTTP(started, httptest.NewRequest(http.MethodGet, "/startupz", http.NoBody))
	fmt.Println(started.Code)
	checker.MarkStarted()
	started = httptest.NewRecorder()
	checker.StartupHandler().ServeHTTP(started, httptest.NewRequest(http.MethodGet, "/startupz", http.NoBody))
	fmt.Println(started.Code)
	// Output:
	// 503
	// 200
}
