package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"connectrpc.com/conformance/internal"
	conformance "connectrpc.com/conformance/internal/gen/proto/go/connectrpc/conformance/v1"
	"github.com/gabion-go/gabion/transport"
)

// A server serves connections until it is told to stop.
type server interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
}

// serve starts the one server that in asks for, writes where it is to out, and
// stops it when ctx ends.
func serve(ctx context.Context, in internal.StreamDecoder, out internal.StreamEncoder, start func(http.Handler, *tls.Config, *http.Protocols) (server, error)) error {
	req := &conformance.ServerCompatRequest{}
	if err := in.DecodeNext(req); err != nil {
		return err
	}
	cfg, err := serverTLS(req)
	if err != nil {
		return err
	}
	p, err := protocols(req.GetHttpVersion(), req.GetUseTls())
	if err != nil {
		return err
	}
	s, err := start(handler(int(req.GetMessageReceiveLimit())), cfg, p)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	err = out.Encode(&conformance.ServerCompatResponse{
		Host: "127.0.0.1", Port: uint32(l.Addr().(*net.TCPAddr).Port), PemCert: req.GetServerCreds().GetCert(),
	})
	if err != nil {
		return err
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = s.Shutdown(grace) // calls that were abandoned on purpose need not have ended
	return nil
}

func serverTLS(req *conformance.ServerCompatRequest) (*tls.Config, error) {
	if !req.GetUseTls() {
		return nil, nil
	}
	cert, err := internal.ParseServerCert(req.GetServerCreds().GetCert(), req.GetServerCreds().GetKey())
	if err != nil {
		return nil, err
	}
	mode := tls.NoClientCert
	if len(req.GetClientTlsCert()) > 0 {
		mode = tls.RequireAndVerifyClientCert
	}
	return internal.NewServerTLSConfig(cert, mode, req.GetClientTlsCert())
}

// plainServer is one of net/http.
type plainServer struct{ *http.Server }

func servePlain(h http.Handler, cfg *tls.Config, p *http.Protocols) (server, error) {
	return plainServer{&http.Server{Handler: h, TLSConfig: cfg, Protocols: p, ReadHeaderTimeout: 5 * time.Second}}, nil
}

func (s plainServer) Serve(l net.Listener) error {
	var err error
	if s.TLSConfig != nil {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// serveGabion returns a server of gabion with its default limits, but for the
// calls' streams.
func serveGabion(h http.Handler, cfg *tls.Config, p *http.Protocols) (server, error) {
	opts := []transport.ServerOption{transport.WithServerProtocols(p)}
	if cfg != nil {
		opts = append(opts, transport.WithServerTLS(cfg))
	}
	return transport.NewServer(transport.Stream(h, 0), opts...)
}
