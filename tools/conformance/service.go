package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/conformance/internal"
	conformance "connectrpc.com/conformance/internal/gen/proto/go/connectrpc/conformance/v1"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// handler returns the suite's service: requests say how they want to be
// answered, and answers tell what the request was. limit is the most that a
// message may have; zero is no limit.
func handler(limit int) http.Handler {
	opts := connect.WithReadMaxBytes(limit)
	idempotent := connect.WithIdempotency(connect.IdempotencyNoSideEffects)
	mux := http.NewServeMux()
	mux.Handle(service+"Unary", connect.NewUnaryHandler(service+"Unary", handleUnary, opts))
	mux.Handle(service+"IdempotentUnary", connect.NewUnaryHandler(service+"IdempotentUnary", handleIdempotent, opts, idempotent))
	mux.Handle(service+"Unimplemented", connect.NewUnaryHandler(service+"Unimplemented", handleUnimplemented, opts))
	mux.Handle(service+"ServerStream", connect.NewServerStreamHandler(service+"ServerStream", handleServerStream, opts))
	mux.Handle(service+"ClientStream", connect.NewClientStreamHandler(service+"ClientStream", handleClientStream, opts))
	mux.Handle(service+"BidiStream", connect.NewBidiStreamHandler(service+"BidiStream", handleBidiStream, opts))
	return mux
}

func handleUnary(ctx context.Context, req *connect.Request[conformance.UnaryRequest]) (*connect.Response[conformance.UnaryResponse], error) {
	p, err := answerUnary(ctx, req.Msg.GetResponseDefinition(), req, req.Msg)
	if err != nil {
		return nil, err
	}
	return respond(&conformance.UnaryResponse{Payload: p}, req.Msg.GetResponseDefinition()), nil
}

func handleIdempotent(ctx context.Context, req *connect.Request[conformance.IdempotentUnaryRequest]) (*connect.Response[conformance.IdempotentUnaryResponse], error) {
	p, err := answerUnary(ctx, req.Msg.GetResponseDefinition(), req, req.Msg)
	if err != nil {
		return nil, err
	}
	return respond(&conformance.IdempotentUnaryResponse{Payload: p}, req.Msg.GetResponseDefinition()), nil
}

func handleUnimplemented(context.Context, *connect.Request[conformance.UnimplementedRequest]) (*connect.Response[conformance.UnimplementedResponse], error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New("not implemented"))
}

func handleClientStream(ctx context.Context, stream *connect.ClientStream[conformance.ClientStreamRequest]) (*connect.Response[conformance.ClientStreamResponse], error) {
	var def *conformance.UnaryResponseDefinition
	var msgs []proto.Message
	for stream.Receive() {
		if msgs == nil {
			def = stream.Msg().GetResponseDefinition()
		}
		msgs = append(msgs, proto.Clone(stream.Msg()))
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	p, err := answerUnary(ctx, def, stream, msgs...)
	if err != nil {
		return nil, err
	}
	return respond(&conformance.ClientStreamResponse{Payload: p}, def), nil
}

// asked is what a request tells of itself besides its messages.
type asked interface {
	Peer() connect.Peer
}

func headerOf(a asked) http.Header {
	switch a := a.(type) {
	case interface{ Header() http.Header }:
		return a.Header()
	case interface{ RequestHeader() http.Header }:
		return a.RequestHeader()
	}
	return nil
}

// answerUnary returns the payload that def asks for, or its error, after its
// delay.
func answerUnary(ctx context.Context, def *conformance.UnaryResponseDefinition, a asked, msgs ...proto.Message) (*conformance.ConformancePayload, error) {
	info, err := requestInfo(ctx, headerOf(a), a.Peer().Query, msgs)
	if err != nil {
		return nil, err
	}
	time.Sleep(ms(def.GetResponseDelayMs()))
	if failure := def.GetError(); failure != nil {
		err := withInfo(failure, info)
		internal.AddHeaders(def.GetResponseHeaders(), err.Meta())
		internal.AddHeaders(def.GetResponseTrailers(), err.Meta())
		return nil, err
	}
	return &conformance.ConformancePayload{RequestInfo: info, Data: def.GetResponseData()}, nil
}

func respond[T any](msg *T, def *conformance.UnaryResponseDefinition) *connect.Response[T] {
	resp := connect.NewResponse(msg)
	internal.AddHeaders(def.GetResponseHeaders(), resp.Header())
	internal.AddHeaders(def.GetResponseTrailers(), resp.Trailer())
	return resp
}

func handleServerStream(ctx context.Context, req *connect.Request[conformance.ServerStreamRequest], stream *connect.ServerStream[conformance.ServerStreamResponse]) error {
	def := req.Msg.GetResponseDefinition()
	internal.AddHeaders(def.GetResponseHeaders(), stream.ResponseHeader())
	internal.AddHeaders(def.GetResponseTrailers(), stream.ResponseTrailer())
	if len(def.GetResponseData()) > 0 {
		if err := stream.Send(nil); err != nil { // the header alone
			return err
		}
	}
	info, err := requestInfo(ctx, req.Header(), req.Peer().Query, []proto.Message{req.Msg})
	if err != nil {
		return err
	}
	for _, data := range def.GetResponseData() {
		time.Sleep(ms(def.GetResponseDelayMs()))
		err := stream.Send(&conformance.ServerStreamResponse{Payload: &conformance.ConformancePayload{Data: data, RequestInfo: info}})
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		info = nil // with the first only
	}
	return streamEnd(def, info)
}

// streamEnd returns the error that ends a stream, which carries info if no
// message has.
func streamEnd(def *conformance.StreamResponseDefinition, info *conformance.ConformancePayload_RequestInfo) error {
	switch failure := def.GetError(); {
	case failure == nil:
		return nil
	case info == nil:
		return connectError(failure)
	default:
		return withInfo(failure, info)
	}
}

func handleBidiStream(ctx context.Context, stream *connect.BidiStream[conformance.BidiStreamRequest, conformance.BidiStreamResponse]) error {
	b := &bidiAnswer{ctx: ctx, stream: stream}
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		more, err := b.next(req)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	return b.finish()
}

// bidiAnswer is the answer to a call whose both sides stream.
type bidiAnswer struct {
	ctx    context.Context
	stream *connect.BidiStream[conformance.BidiStreamRequest, conformance.BidiStreamResponse]
	def    *conformance.StreamResponseDefinition
	begun  bool
	both   bool            // each message is answered at once
	reqs   []proto.Message // not told of yet
	sent   int
}

// next takes a message and, if both sides speak at once, answers it. It reports
// whether to go on.
func (b *bidiAnswer) next(req *conformance.BidiStreamRequest) (more bool, err error) {
	b.reqs = append(b.reqs, req)
	if !b.begun {
		b.begun, b.both, b.def = true, req.GetFullDuplex(), req.GetResponseDefinition()
		internal.AddHeaders(b.def.GetResponseHeaders(), b.stream.ResponseHeader())
		internal.AddHeaders(b.def.GetResponseTrailers(), b.stream.ResponseTrailer())
		if b.both && len(b.def.GetResponseData()) > 0 {
			if err := b.stream.Send(nil); err != nil { // the header alone
				return false, err
			}
		}
	}
	if !b.both {
		return true, nil
	}
	if b.sent >= len(b.def.GetResponseData()) {
		return false, nil
	}
	return true, b.send()
}

// finish sends what has not been sent.
func (b *bidiAnswer) finish() error {
	if !b.both && len(b.def.GetResponseData()) > 0 {
		if err := b.stream.Send(nil); err != nil {
			return err
		}
	}
	for b.sent < len(b.def.GetResponseData()) {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		if err := b.send(); err != nil {
			return err
		}
	}
	if b.sent > 0 {
		return streamEnd(b.def, nil)
	}
	info, err := requestInfo(b.ctx, b.stream.RequestHeader(), nil, b.reqs)
	if err != nil {
		return err
	}
	return streamEnd(b.def, info)
}

// send sends the next message. The first tells of the request as a whole, those
// that follow of the messages since.
func (b *bidiAnswer) send() error {
	p := &conformance.ConformancePayload{Data: b.def.GetResponseData()[b.sent]}
	info, err := requestInfo(b.ctx, b.stream.RequestHeader(), nil, b.reqs)
	switch {
	case err != nil:
		return err
	case b.sent == 0:
		p.RequestInfo = info
	case b.both:
		p.RequestInfo = &conformance.ConformancePayload_RequestInfo{Requests: info.GetRequests()}
	}
	b.reqs = nil
	time.Sleep(ms(b.def.GetResponseDelayMs()))
	if err := b.stream.Send(&conformance.BidiStreamResponse{Payload: p}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	b.sent++
	return nil
}

// withInfo returns the error that is asked for, which carries info.
func withInfo(failure *conformance.Error, info *conformance.ConformancePayload_RequestInfo) *connect.Error {
	err := connectError(failure)
	if d, derr := connect.NewErrorDetail(info); derr == nil {
		err.AddDetail(d)
	}
	return err
}

// requestInfo tells of a request.
func requestInfo(ctx context.Context, h http.Header, query url.Values, msgs []proto.Message) (*conformance.ConformancePayload_RequestInfo, error) {
	info := &conformance.ConformancePayload_RequestInfo{RequestHeaders: internal.ConvertToProtoHeader(h)}
	if len(query) > 0 {
		info.ConnectGetInfo = &conformance.ConformancePayload_ConnectGetInfo{QueryParams: internal.ConvertToProtoHeader(query)}
	}
	if deadline, ok := ctx.Deadline(); ok && asksForTimeout(h) {
		info.TimeoutMs = new(time.Until(deadline).Milliseconds())
	}
	for _, msg := range msgs {
		a, err := anypb.New(msg)
		if err != nil {
			return nil, err
		}
		info.Requests = append(info.Requests, a)
	}
	return info, nil
}

// asksForTimeout reports whether the suite has set a deadline: gabion's client
// sends one of its own otherwise, and gabion's server keeps to it.
func asksForTimeout(h http.Header) bool {
	return h.Get("Connect-Timeout-Ms") != "" || h.Get("Grpc-Timeout") != ""
}
