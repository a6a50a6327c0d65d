// Package middleware is what every request passes on its way to a handler and back: the edge, the guard, the access
// line, the metrics, and the only place where an error becomes a response.
package middleware

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/gofiber/fiber/v2"

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
	// OwnTLS says that callers reach the service over HTTPS only, because it serves that itself.
	OwnTLS bool
	// CORSOrigins may call from a browser; empty switches CORS off.
	CORSOrigins []string
	// TrustedProxies are believed about the address of the client.
	TrustedProxies []netip.Prefix
}

// Install puts the chain before every route of app. It is called before the routes are added. The order, outermost
// first:
//
//  1. the headers that protect browsers; no answer goes without them
//  2. recovery, for a panic in the chain itself: nothing may end the process
//  3. request id, so that everything after it can name the request
//  4. access line and metrics; it turns errors into responses, because it must see the status that is really sent
//  5. recovery again: a panic below is answered, logged and counted like every other failure
//  6. CORS: a browser's preflight carries no token, so it is answered before any guard, and a page may read every refusal
//  7. framing: what the engine could not read, and broken escapes
//  8. the deadline, noted for whoever asks
//
// Behind it each route adds its own: Route, then what Guard.Protect gives, then the handler.
func Install(app *fiber.App, o Options) {
	app.Use(browserProtection(o.OwnTLS), recovery(o.Logger), requestID, access(o), recovery(o.Logger))
	if len(o.CORSOrigins) > 0 {
		app.Use(crossOrigin(o.CORSOrigins))
	}
	app.Use(framing, deadline(o.RequestTimeout))
}

// Route is the first handler of every route. It says which route it is, refuses a body that was too large, now that the
// route is known, and keeps the answers of guarded routes out of every cache, refusals included.
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

// ErrorHandler answers an error that left the chain, which happens only when the chain itself failed.
func ErrorHandler(c *fiber.Ctx, err error) error {
	respond(c.Context(), asFault(err))
	return nil
}

// refusal is a failure that the caller caused.
func refusal(code fault.Code) bool { return StatusOf(code) < fiber.StatusInternalServerError }
