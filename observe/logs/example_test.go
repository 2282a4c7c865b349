package logs_test

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/gabion-go/gabion/observe/logs"
)

func Example() {
	log, level := logs.New(os.Stdout, logs.WithFormat(logs.ECS), logs.WithService("cart"))

	db, _ := url.Parse("postgres://cart:s3cret@db/cart")
	r := slog.NewRecord(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), slog.LevelInfo, "connected", 0)
	r.Add("db", db, "password", "s3cret", "note", "two\nlines")
	_ = log.Handler().Handle(context.Background(), r)

	level.Set(slog.LevelWarn)
	log.Info("not written")
	// Output:
	// {"@timestamp":"2026-03-01T12:00:00Z","log.level":"info","message":"connected","ecs.version":"8.11.0","service.name":"cart","db":"postgres://db/cart","password":"REDACTED","note":"two\nlines"}
}
