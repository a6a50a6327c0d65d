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

// Edge puts the service's own rules around fasthttp, the engine of app:
//
//   - errors of the engine go through the chain, so that they get a request id, an access line and the error JSON
//   - methods that the framework does not know are refused like those it knows
//   - while draining reports true, every answer asks the client to close the connection
//   - the memory of a large request is released when it is answered
func Edge(app *fiber.App, draining func() bool) {
	server := app.Server()
	inner := server.Handler
	handle := func(ctx *fasthttp.RequestCtx) {
		if draining() {
			ctx.SetConnectionClose()
		}
		if !knownMethod(ctx.Request.Header.Method()) {
			// The framework would answer an unknown method without the chain. TRACE is refused by every route, too.
			requestOf(ctx).unknownMethod = true
			ctx.Request.Header.SetMethod(fiber.MethodTrace)
		}
		inner(ctx)
	}
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		handle(ctx)
		releaseLarge(ctx)
	}
	server.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) {
		conn := lingererOf(ctx.Conn())
		if conn != nil && !conn.Heard() {
			_ = ctx.Conn().Close() // nothing came: a port scanner, or a connection opened in advance
			return
		}
		failed := engineFault(err)
		if conn != nil {
			conn.Linger(lingerFor(failed.Code))
		}
		if noter, ok := ctx.Conn().(originNoter); ok && noter.Origin() != "" {
			ctx.Request.Header.Set(fiber.HeaderOrigin, noter.Origin()) // the engine drops headers that it cannot read
		}
		requestOf(ctx).engineFault = failed
		handle(ctx)
		releaseAll(ctx)
	}
}

// lingerer is a connection that knows whether any byte came, and whose Close can wait for the client to finish sending.
type lingerer interface {
	Heard() bool
	Linger(most time.Duration)
}

// lingerFor is how long a refused client may go on sending before its connection is closed. Closing earlier would lose the
// answer that it has not read yet. The rest of a body that is too large may take long; nothing else is worth a wait.
func lingerFor(code fault.Code) time.Duration {
	if code == fault.BodyTooLarge {
		return 30 * time.Second
	}
	return 500 * time.Millisecond
}

// originNoter is a connection that knows the Origin in the header of the latest request, "" without one.
type originNoter interface{ Origin() string }

// lingererOf is the lingerer that conn is, or that lies below its TLS; nil without one.
func lingererOf(conn net.Conn) lingerer {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn()
	}
	below, _ := conn.(lingerer)
	return below
}

func knownMethod(method []byte) bool {
	return slices.Contains(fiber.DefaultMethods, string(method))
}

// engineFault gives an error of the engine its code.
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
