package run

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/launch"
)

// launchedVar tells a service that a launcher has started it, which hands it
// the descriptors that package launch names.
const launchedVar = "SHOP_LAUNCHED"

// errLauncherGone ends a service whose launcher has died.
var errLauncherGone = errors.New("the launcher is gone")

// link is a service's connection to its launcher. Without a launcher it does
// nothing.
type link struct{ launched bool }

// follow returns a context that ends when the launcher does. Its goroutine
// waits for that as long as the process lives.
func (l link) follow(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if l.launched {
		lifeline := os.NewFile(launch.LifelineFD, "lifeline")
		go func() {
			_, _ = io.Copy(io.Discard, lifeline) // whatever ends it means the same
			cancel(errLauncherGone)
		}()
	}
	return ctx, func() { cancel(nil) }
}

// report tells the launcher that the service is ready and where. It is for
// [gabion.WithOnReady].
func (l link) report(s *gabion.Service) {
	if !l.launched {
		return
	}
	pipe := os.NewFile(launch.ReportFD, "report")
	err := json.NewEncoder(pipe).Encode(launch.Report{Addr: s.Addr(), Admin: s.AdminAddr(), PID: os.Getpid()})
	if err := errors.Join(err, pipe.Close()); err != nil {
		s.Logger().Error("shop: the launcher cannot be told that the service is ready", "error", err)
	}
}
