// Package middleware is what every request passes on its way to a handler and back: the edge, the guard, the access
// line, the metrics, and the only place where an error becomes a response.
package middleware

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/gofiber/fiber/v2"
)

// Options configures the chain.
type Options struct {
	Logger *slog.Logger
	// AccessLog writes one line a request. Failures of the service itself are always logged.
	AccessLog bool
	Metrics   *Metrics
	// RequestTimeout is how long a request may take.
	RequestTimeout time.Duration
	// OwnTLS says that the service itself serves HTTPS, and nothing else.
	OwnTLS bool
	// CORSOrigins may call from a browser; empty switches CORS off.
	CORSOrigins []string
	// TrustedProxies may name the address of the client in X-Forwarded-For.
	TrustedProxies []netip.Prefix
}

// Install puts the chain before every route of app. It is called before the routes are added. The order, outermost
// first:
//
//  1. the headers that protect browsers: every answer has them
//  2. recovery, for a panic in the chain itself: no panic ends the process
//  3. request id: everything after it can name the request
//  4. access line and metrics; errors become responses here, because the status that is sent must be known
//  5. recovery again: a panic below is answered, logged and counted like every other failure
//  6. CORS: a preflight has no token, so it is answered before the guard; a page may read every refusal
//  7. framing: refuses what the engine could not read, and broken escapes
//  8. deadline: gives the request its context
//
// Each route adds its own handlers: Route, then those of Guard.Protect, then the handler of the route.
func Install(app *fiber.App, o Options) {
	app.Use(browserProtection(o.OwnTLS), recovery(o.Logger), requestID, access(o), recovery(o.Logger))
	if len(o.CORSOrigins) > 0 {
		app.Use(crossOrigin(o.CORSOrigins))
	}
	app.Use(framing, deadline(o.RequestTimeout))
}

// Route is the first handler of every route:
//
//   - it names the route for the access line and the metrics
//   - it keeps the answers of guarded routes out of every cache, refusals included
//   - it refuses a body that is too large, which waits until routing has answered 404 or 405
func Route(pattern string, guarded bool) fiber.Handler {
	return func(c *fiber.Ctx) error {
		r := requestOf(c.Context())
		r.route = pattern
		if guarded {
			c.Set(fiber.HeaderCacheControl, "no-store")
		}
		if r.engineFault != nil {
			return r.engineFault
		}
		return c.Next()
	}
}

// ErrorHandler answers an error that left the chain. Only a failure of the chain itself does.
func ErrorHandler(c *fiber.Ctx, err error) error {
	respond(c.Context(), asFault(err))
	return nil
}
