package middleware

import (
	"errors"
	"net"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
)

// ReadBufferSize is how many bytes of a request's header the engine reads: it refuses a longer one with 431 before any
// handler runs.
const ReadBufferSize = 16 << 10

// Edge puts the service's own rules around the engine of app: its errors go through the same chain as every request, so
// that they have a request id, an access line and the error JSON; methods that the framework does not know are refused
// like the ones it knows; and while draining says so, every answer asks the client to close the connection.
func Edge(app *fiber.App, draining func() bool) {
	server := app.Server()
	inner := server.Handler
	handle := func(ctx *fasthttp.RequestCtx) {
		if draining() {
			ctx.SetConnectionClose()
		}
		if !knownMethod(ctx.Request.Header.Method()) {
			// No route takes TRACE either, and the framework answers an unknown method without the chain.
			requestOf(ctx).unknownMethod = true
			ctx.Request.Header.SetMethod(fiber.MethodTrace)
		}
		inner(ctx)
	}
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		handle(ctx)
		giveBack(ctx)
	}
	server.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) {
		conn := patient(ctx.Conn())
		if conn != nil && !conn.Heard() {
			_ = ctx.Conn().Close() // whoever asked nothing, a port scanner or an early connection, is answered nothing
			return
		}
		failed := engineFault(err)
		if conn != nil {
			conn.Linger(lingerFor(failed.Code))
		}
		if noter, ok := ctx.Conn().(originNoter); ok && noter.Origin() != "" {
			ctx.Request.Header.Set(fiber.HeaderOrigin, noter.Origin()) // the engine drops a header that it cannot read
		}
		requestOf(ctx).engineFault = failed
		handle(ctx)
		giveAllBack(ctx)
	}
}

// lingerer is a connection that knows whether anything came, and whose Close can wait for what still comes.
type lingerer interface {
	Heard() bool
	Linger(most time.Duration)
}

// lingerFor is how long a refused client may go on sending before its connection is closed under it, and with that the
// answer lost that it has not read yet. A body that is too large may be a long way from its end; a client that is slow
// with anything else is not waited for again.
func lingerFor(code fault.Code) time.Duration {
	if code == fault.BodyTooLarge {
		return 30 * time.Second
	}
	return 500 * time.Millisecond
}

// originNoter is a connection that knows which Origin the header of the latest request named, "" for none.
type originNoter interface{ Origin() string }

// patient is the lingerer that conn is, or that lies below its TLS; nil for none.
func patient(conn net.Conn) lingerer {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn()
	}
	below, _ := conn.(lingerer)
	return below
}

func knownMethod(method []byte) bool {
	return slices.Contains(fiber.DefaultMethods, string(method))
}

// engineFault gives the engine's errors their codes.
func engineFault(err error) *fault.Error {
	if _, ok := errors.AsType[*fasthttp.ErrSmallBuffer](err); ok {
		return fault.Wrap(fault.HeaderTooLarge, err)
	}
	if errors.Is(err, fasthttp.ErrBodyTooLarge) {
		return fault.Wrap(fault.BodyTooLarge, err)
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return fault.Wrap(fault.RequestTimeout, err)
	}
	return fault.Wrap(fault.BadRequest, err)
}
