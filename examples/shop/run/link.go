package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/gabion-go/gabion"
	"github.com/gabion-go/gabion/examples/shop/launch"
)

// Variables that tell a service what its launcher hands it.
const (
	launchedVar = "SHOP_LAUNCHED" // the report pipe and the lifeline
	pageVar     = "SHOP_PAGE"     // the socket of the page
)

// errLauncherGone ends a service whose launcher has died.
var errLauncherGone = errors.New("the launcher is gone")

// link is a service's connection to its launcher. Without a launcher it does
// nothing.
type link struct {
	launched bool
	page     net.Listener // nil but for the storefront
}

// newLink takes what the launcher has handed over.
func newLink(getenv func(string) string) (link, error) {
	l := link{launched: getenv(launchedVar) != ""}
	if getenv(pageVar) == "" {
		return l, nil
	}
	f := os.NewFile(launch.ListenerFD, "page")
	defer f.Close() // the listener has its own descriptor
	var err error
	if l.page, err = net.FileListener(f); err != nil {
		return l, fmt.Errorf("service: the socket of the page: %w", err)
	}
	return l, nil
}

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

// ready serves the page too, if there is one, and tells the launcher that the
// service is ready and where. It is for [gabion.WithOnReady].
func (l link) ready(s *gabion.Service) {
	addr := s.Addr()
	if l.page != nil {
		addr = l.page.Addr().String()
		s.Go("page", func(context.Context) error { return servePage(s.Handler(), l.page) })
	}
	if !l.launched {
		return
	}
	pipe := os.NewFile(launch.ReportFD, "report")
	err := json.NewEncoder(pipe).Encode(launch.Report{Addr: addr, Admin: s.AdminAddr(), PID: os.Getpid()})
	if err := errors.Join(err, pipe.Close()); err != nil {
		s.Logger().Error("shop: the launcher cannot be told that the service is ready", "error", err)
	}
}

// servePage serves the page until the service has shut down. h is the service's
// own server, which takes further listeners and drains all of them together.
func servePage(h http.Handler, page net.Listener) error {
	server, ok := h.(interface{ Serve(net.Listener) error })
	if !ok {
		return fmt.Errorf("service: %T serves no second listener", h)
	}
	return server.Serve(page)
}
