package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"connectrpc.com/conformance/internal"
	conformance "connectrpc.com/conformance/internal/gen/proto/go/connectrpc/conformance/v1"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// service is the path of the suite's service; its methods follow.
const service = "/connectrpc.conformance.v1.ConformanceService/"

// caller makes the call that one request of the suite describes.
type caller struct {
	client *http.Client
	url    string
	req    *conformance.ClientCompatRequest
	opts   []connect.ClientOption
}

func newCaller(client *http.Client, base string, req *conformance.ClientCompatRequest) *caller {
	c := &caller{client: client, url: base + service + req.GetMethod(), req: req}
	switch req.GetProtocol() {
	case conformance.Protocol_PROTOCOL_GRPC:
		c.opts = append(c.opts, connect.WithGRPC())
	case conformance.Protocol_PROTOCOL_GRPC_WEB:
		c.opts = append(c.opts, connect.WithGRPCWeb())
	}
	if req.GetCodec() == conformance.Codec_CODEC_JSON {
		c.opts = append(c.opts, connect.WithProtoJSON())
	}
	if req.GetCompression() == conformance.Compression_COMPRESSION_GZIP {
		c.opts = append(c.opts, connect.WithSendGzip())
	} else {
		c.opts = append(c.opts, connect.WithAcceptCompression("gzip", nil, nil)) // it is there by default
	}
	if limit := req.GetMessageReceiveLimit(); limit > 0 {
		c.opts = append(c.opts, connect.WithReadMaxBytes(int(limit)))
	}
	return c
}

// call makes the call. The error is that it could not be made, not that it
// failed.
func (c *caller) call(ctx context.Context) (*conformance.ClientResponseResult, error) {
	switch c.req.GetMethod() {
	case "Unary":
		return unary[conformance.UnaryRequest, conformance.UnaryResponse](ctx, c)
	case "IdempotentUnary":
		c.opts = append(c.opts, connect.WithHTTPGet(), connect.WithIdempotency(connect.IdempotencyNoSideEffects))
		return unary[conformance.IdempotentUnaryRequest, conformance.IdempotentUnaryResponse](ctx, c)
	case "Unimplemented":
		return unary[conformance.UnimplementedRequest, conformance.UnimplementedResponse](ctx, c)
	case "ServerStream":
		return serverStream(ctx, c)
	case "ClientStream":
		return clientStream(ctx, c)
	case "BidiStream":
		return bidiStream(ctx, c)
	default:
		return nil, fmt.Errorf("no method %q", c.req.GetMethod())
	}
}

// message is a pointer to a message of type T.
type message[T any] interface {
	*T
	proto.Message
}

// unpack returns the message in a.
func unpack[T any, M message[T]](a *anypb.Any) (*T, error) {
	msg := new(T)
	return msg, a.UnmarshalTo(M(msg))
}

// first returns the one message that there is to send.
func first[T any, M message[T]](c *caller) (*T, error) {
	if n := len(c.req.GetRequestMessages()); n != 1 {
		return nil, fmt.Errorf("%d messages for a call that takes one", n)
	}
	return unpack[T, M](c.req.GetRequestMessages()[0])
}

func unary[Req, Res any, M message[Req]](ctx context.Context, c *caller) (*conformance.ClientResponseResult, error) {
	msg, err := first[Req, M](c)
	if err != nil {
		return nil, err
	}
	req := connect.NewRequest(msg)
	internal.AddHeaders(c.req.GetRequestHeaders(), req.Header())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if after, ok := c.cancelAfter(); ok {
		time.AfterFunc(after, cancel)
	}
	resp, err := connect.NewClient[Req, Res](c.client, c.url, c.opts...).CallUnary(ctx, req)
	return unaryResult(resp, err), nil
}

func unaryResult[Res any](resp *connect.Response[Res], err error) *conformance.ClientResponseResult {
	if err != nil {
		return &conformance.ClientResponseResult{Error: protoError(err), ResponseTrailers: internal.ConvertToProtoHeader(metaOf(err))}
	}
	result := &conformance.ClientResponseResult{
		ResponseHeaders:  internal.ConvertToProtoHeader(resp.Header()),
		ResponseTrailers: internal.ConvertToProtoHeader(resp.Trailer()),
		Payloads:         []*conformance.ConformancePayload{nil},
	}
	if p, ok := any(resp.Msg).(interface {
		GetPayload() *conformance.ConformancePayload
	}); ok {
		result.Payloads[0] = p.GetPayload()
	}
	return result
}

func serverStream(ctx context.Context, c *caller) (*conformance.ClientResponseResult, error) {
	msg, err := first[conformance.ServerStreamRequest](c)
	if err != nil {
		return nil, err
	}
	req := connect.NewRequest(msg)
	internal.AddHeaders(c.req.GetRequestHeaders(), req.Header())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := connect.NewClient[conformance.ServerStreamRequest, conformance.ServerStreamResponse](c.client, c.url, c.opts...).CallServerStream(ctx, req)
	if err != nil {
		return &conformance.ClientResponseResult{Error: protoError(err), ResponseHeaders: internal.ConvertToProtoHeader(metaOf(err))}, nil
	}
	if after, ok := c.cancelAfter(); ok {
		time.Sleep(after)
		cancel()
	}
	result := &conformance.ClientResponseResult{}
	for stream.Receive() {
		result.Payloads = append(result.Payloads, stream.Msg().GetPayload())
		if len(result.Payloads) == c.cancelAfterResponses() {
			cancel()
		}
	}
	result.Error = protoError(errors.Join(stream.Err(), stream.Close()))
	result.ResponseHeaders = internal.ConvertToProtoHeader(stream.ResponseHeader())
	result.ResponseTrailers = internal.ConvertToProtoHeader(stream.ResponseTrailer())
	return result, nil
}

func clientStream(ctx context.Context, c *caller) (*conformance.ClientResponseResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := connect.NewClient[conformance.ClientStreamRequest, conformance.ClientStreamResponse](c.client, c.url, c.opts...).CallClientStream(ctx)
	internal.AddHeaders(c.req.GetRequestHeaders(), stream.RequestHeader())
	unsent := 0
	for i, a := range c.req.GetRequestMessages() {
		msg, err := unpack[conformance.ClientStreamRequest](a)
		if err != nil {
			return nil, err
		}
		time.Sleep(ms(c.req.GetRequestDelayMs()))
		if err := stream.Send(msg); errors.Is(err, io.EOF) {
			unsent = len(c.req.GetRequestMessages()) - i
			break
		}
	}
	if c.cancelBeforeClose() {
		cancel()
	} else if after, ok := c.cancelAfter(); ok {
		time.AfterFunc(after, cancel)
	}
	result := unaryResult(stream.CloseAndReceive())
	result.NumUnsentRequests = int32(unsent)
	return result, nil
}

func bidiStream(ctx context.Context, c *caller) (*conformance.ClientResponseResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := &bidi{
		caller: c, cancel: cancel, result: &conformance.ClientResponseResult{},
		stream: connect.NewClient[conformance.BidiStreamRequest, conformance.BidiStreamResponse](c.client, c.url, c.opts...).CallBidiStream(ctx),
	}
	err := b.run()
	if closed := b.stream.CloseResponse(); b.result.GetError() == nil {
		b.result.Error = protoError(closed)
	}
	b.result.ResponseHeaders = internal.ConvertToProtoHeader(b.stream.ResponseHeader())
	b.result.ResponseTrailers = internal.ConvertToProtoHeader(b.stream.ResponseTrailer())
	return b.result, err
}

// bidi is a call whose both sides stream.
type bidi struct {
	*caller
	cancel context.CancelFunc
	stream *connect.BidiStreamForClient[conformance.BidiStreamRequest, conformance.BidiStreamResponse]
	result *conformance.ClientResponseResult
	over   bool // nothing more will come
}

func (b *bidi) run() error {
	internal.AddHeaders(b.req.GetRequestHeaders(), b.stream.RequestHeader())
	if err := b.sendAll(); err != nil {
		return err
	}
	if b.cancelBeforeClose() {
		b.cancel()
	}
	if err := b.stream.CloseRequest(); err != nil {
		return err
	}
	if after, ok := b.cancelAfter(); ok {
		time.Sleep(after)
		b.cancel()
	}
	for !b.over {
		b.receive()
	}
	return nil
}

// sendAll sends all messages. If both sides speak at once, each is followed by
// one from there.
func (b *bidi) sendAll() error {
	both := b.req.GetStreamType() == conformance.StreamType_STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM
	for i, a := range b.req.GetRequestMessages() {
		msg, err := unpack[conformance.BidiStreamRequest](a)
		if err != nil {
			return err
		}
		time.Sleep(ms(b.req.GetRequestDelayMs()))
		if err := b.stream.Send(msg); errors.Is(err, io.EOF) { // Receive says why
			b.result.NumUnsentRequests = int32(len(b.req.GetRequestMessages()) - i)
			b.receive()
			b.over = true
			return nil
		}
		if both {
			b.receive()
		}
		if b.over {
			return nil
		}
	}
	return nil
}

func (b *bidi) receive() {
	msg, err := b.stream.Receive()
	switch {
	case errors.Is(err, io.EOF):
		b.over = true
	case err != nil:
		b.over = true
		b.result.Error = protoError(err)
	default:
		b.result.Payloads = append(b.result.Payloads, msg.GetPayload())
		if len(b.result.GetPayloads()) == b.cancelAfterResponses() {
			b.cancel()
		}
	}
}

// cancelAfter returns how long after the last message the call is to be
// cancelled, if it is.
func (c *caller) cancelAfter() (time.Duration, bool) {
	if c.req.GetCancel() == nil {
		return 0, false
	}
	switch when := c.req.GetCancel().GetCancelTiming().(type) {
	case nil:
		return 0, true
	case *conformance.ClientCompatRequest_Cancel_AfterCloseSendMs:
		return ms(when.AfterCloseSendMs), true
	default:
		return 0, false
	}
}

// cancelBeforeClose reports whether the call is to be cancelled in place of
// ending the request.
func (c *caller) cancelBeforeClose() bool { return c.req.GetCancel().GetBeforeCloseSend() != nil }

// cancelAfterResponses returns how many messages the call is to be cancelled
// after; zero is never.
func (c *caller) cancelAfterResponses() int { return int(c.req.GetCancel().GetAfterNumResponses()) }

func ms(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

// metaOf returns the headers and trailers that err came with.
func metaOf(err error) http.Header {
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return e.Meta()
	}
	return nil
}

// protoError returns err as the suite writes it, or nil.
func protoError(err error) *conformance.Error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return &conformance.Error{Code: conformance.Code_CODE_UNKNOWN, Message: new(err.Error())}
	}
	out := &conformance.Error{Code: conformance.Code(e.Code()), Message: new(e.Message())}
	for _, d := range e.Details() {
		out.Details = append(out.Details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type(), Value: d.Bytes()})
	}
	return out
}

// connectError is the reverse of protoError.
func connectError(err *conformance.Error) *connect.Error {
	e := connect.NewError(connect.Code(err.GetCode()), errors.New(err.GetMessage()))
	for _, a := range err.GetDetails() {
		if d, err := connect.NewErrorDetail(a); err == nil {
			e.AddDetail(d)
		}
	}
	return e
}
