package admin_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gabion-go/gabion/observe/admin"
)

func ExampleNew() {
	level := &slog.LevelVar{}
	srv := httptest.NewServer(admin.New(admin.Config{Name: "cart", Level: level}))
	defer srv.Close()

	req, _ := http.NewRequest(http.MethodPut, srv.URL+"/loglevel", strings.NewReader("debug"))
	resp, err := srv.Client().Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Print(resp.StatusCode, " ", string(body))
	fmt.Println(level.Level())
	// Output:
	// 200 debug
	// DEBUG
}
