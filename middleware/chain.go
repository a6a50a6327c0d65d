// Package middleware is what every request passes on its way to a handler and back: the edge, the guard, the access
// line, the metrics, and the only place where an error becomes a response.
package middleware

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"

	"github.com/latchkey-api/latchkey/fault"
)

// Options configures the chain.
type Options struct {
	Logger *slog.Logger
	// AccessLog writes one line a request; failures of the service itself are logged in any case.
	AccessLog bool
	Metrics   *Metrics
	// RequestTimeout is how long a request may take in all.
	RequestTimeout time.Duration
	// CORSOrigins may call from a browser; empty switches CORS off.
	CORSOrigins []string
	// TrustedProxies are believed about the address of the client.
	TrustedProxies []netip.Prefix
}

// Install puts the chain before every route of app. It is called before the routes are added. The order, outermost
// first:
//
//  1. recovery, for a panic in the chain itself: nothing may end the process
//  2. request id, so that everything after it can name the request
//  3. access line and metrics; it turns errors into responses, because it must see the status that is really sent
//  4. recovery again: a panic below is answered, logged and counted like every other failure
//  5. framing: what the engine could not read, and broken escapes
//  6. CORS: a browser's preflight carries no token, so it is answered before any guard
//  7. the deadline, noted for whoever asks
//
// Behind it each route adds its own: Route, then what Guard.Protect gives, then the handler.
func Install(app *fiber.App, o Options) {
	app.Use(recovery(o.Logger), requestID, access(o), recovery(o.Logger), framing)
	if len(o.CORSOrigins) > 0 {
		app.Use(cors.New(cors.Config{
			AllowOrigins:  strings.Join(o.CORSOrigins, ","),
			AllowMethods:  "GET,HEAD,POST",
			AllowHeaders:  "Authorization,Content-Type,X-Request-ID",
			ExposeHeaders: "Link,Location,RateLimit,RateLimit-Policy,Retry-After,WWW-Authenticate,X-Request-ID",
			MaxAge:        600,
		}))
	}
	app.Use(deadline(o.RequestTimeout))
}

// routeName is the key under which Route leaves the route's pattern for the access line.
type routeName struct{}

// Route is the first handler of every route. It says which route it is, refuses a body that was too large, now that the
// route is known, and keeps the answers of guarded routes out of every cache, refusals included.
func Route(pattern string, guarded bool) fiber.Handler {
	var name any = pattern // boxed once, not at each request
	return func(c *fiber.Ctx) error {
		c.Locals(routeName{}, name)
		if guarded {
			c.Set(fiber.HeaderCacheControl, "no-store")
		}
		if f := pendingFault(c); f != nil {
			return f
		}
		return c.Next()
	}
}

// ErrorHandler answers an error that left the chain, which happens only when the chain itself failed.
func ErrorHandler(c *fiber.Ctx, err error) error {
	respond(c.Context(), asFault(err))
	return nil
}

// refusal is a failure that the caller caused.
func refusal(code fault.Code) bool { return StatusOf(code) < fiber.StatusInternalServerError }
