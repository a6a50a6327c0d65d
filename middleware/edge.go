package middleware

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
)

// ReadBufferSize is how many bytes of a request's header the engine reads: it refuses a longer one with 431 before any
// handler runs.
const ReadBufferSize = 16 << 10

// oddMethod is the key under which a request says that its method is none that the framework knows.
type oddMethod struct{}

// edgeFault is the key under which a failure that the engine found before routing waits for the chain.
type edgeFault struct{}

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
			ctx.SetUserValue(oddMethod{}, true)
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
		ctx.SetUserValue(edgeFault{}, failed)
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

// pendingFault is what the engine found wrong with the request, nil in nearly every one.
func pendingFault(c *fiber.Ctx) *fault.Error {
	f, _ := c.Locals(edgeFault{}).(*fault.Error)
	return f
}

// framing refuses what is unreadable.
func framing(c *fiber.Ctx) error {
	if f := unreadable(c); f != nil {
		return f
	}
	err := c.Next()
	if (c.Method() == fiber.MethodTrace || c.Method() == fiber.MethodOptions) && asFault(err).Code == fault.NotFound {
		// TRACE, OPTIONS and unknown methods are not allowed anywhere, not even where there is nothing.
		c.Set(fiber.HeaderAllow, strings.Join([]string{fiber.MethodGet, fiber.MethodHead, fiber.MethodPost}, ", "))
		return fault.New(fault.MethodNotAllowed)
	}
	return err
}

// unreadable is what is wrong with a request that could not be read, or whose Host is none, or whose target has an escape
// that is none: what such a path means would be guessed, by us and by a proxy before us, and not always alike. It is nil
// for one whose body is too large: that was found behind a sound header, so it is refused after routing, by the route itself.
func unreadable(c *fiber.Ctx) *fault.Error {
	if f := pendingFault(c); f != nil && f.Code != fault.BodyTooLarge {
		return f
	}
	if path := c.Path(); len(path) > 1 && strings.HasSuffix(path, "//") {
		return fault.New(fault.NotFound) // the framework would take any number of slashes for one
	}
	header := &c.Request().Header
	// The engine answers any version in the way of HTTP/1.
	if !bytes.HasPrefix(header.Protocol(), []byte("HTTP/1.")) || !soundEscapes(header.RequestURI()) || ambiguousLength(header) {
		return fault.New(fault.BadRequest)
	}
	// Only HTTP/1.0 goes without; the engine has refused the rest.
	if host := header.Host(); len(host) > 0 && !SoundHost(utils.UnsafeString(host)) {
		return fault.New(fault.BadRequest)
	}
	return nil
}

// ambiguousLength says whether a request has both a Transfer-Encoding and a Content-Length. The engine goes by the
// first, as it should, but a proxy before us may have gone by the other (RFC 9112, section 6.3). Only the bytes that came
// tell it: the engine writes the length that it found over the one that was sent.
func ambiguousLength(header *fasthttp.RequestHeader) bool {
	return hasLine(header.RawHeaders(), "transfer-encoding") && hasLine(header.RawHeaders(), "content-length")
}

// hasLine says whether a header has a line with a name, which is lower-case.
func hasLine(header []byte, name string) bool {
	for line := range bytes.Lines(header) {
		if before, _, ok := bytes.Cut(line, []byte{':'}); ok && strings.EqualFold(utils.UnsafeString(before), name) {
			return true
		}
	}
	return false
}

// soundEscapes says whether every percent sign begins an escape of two hexadecimal digits (RFC 3986, section 2.1).
func soundEscapes(target []byte) bool {
	for i := 0; i < len(target); i++ {
		if target[i] != '%' {
			continue
		}
		if i+2 >= len(target) || !isHex(target[i+1]) || !isHex(target[i+2]) {
			return false
		}
		i += 2
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
