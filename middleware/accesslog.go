package middleware

import (
	"context"
	"log/slog"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
)

// linesPerSecond is how many refused requests are logged one by one in a second, and how many failed ones. One line
// counts the rest.
const linesPerSecond = 100

// access writes the access line and updates the metrics. It also answers errors, because the framework would answer them
// too late: the status must be known here.
func access(o Options) fiber.Handler {
	// Two budgets: a flood of refusals must not hide failures of the service itself.
	refusals := newLineBudget(linesPerSecond, func(suppressed int) {
		o.Logger.Warn("refusals not logged one by one", "count", suppressed)
	})
	failures := newLineBudget(linesPerSecond, func(suppressed int) {
		o.Logger.Warn("failed requests not logged one by one", "count", suppressed)
	})
	return func(c *fiber.Ctx) error {
		begin := time.Now()
		err := c.Next()
		var failed *fault.Error
		if err != nil {
			failed = asFault(err)
			respond(c.Context(), failed)
		}
		took := time.Since(begin)

		// A label is the method of the route: callers could choose any other.
		r := requestOf(c.Context())
		route, method, status := r.routeName(), c.Route().Method, c.Response().StatusCode()
		if route == unrouted {
			method = "other"
		}
		o.Metrics.observe(route, method, status, took)
		key := r.keyID()
		if failed != nil {
			budget := failures
			if refusal(failed.Code) {
				o.Metrics.refused(failed.Code)
				budget = refusals
			}
			if !budget.allow(time.Now()) {
				return nil
			}
			if !refusal(failed.Code) {
				o.Logger.LogAttrs(context.Background(), levelOf(failed.Code), "request failed", withKey(key,
					slog.String("request_id", RequestID(c)), slog.String("route", route), slog.Any("error", failed))...)
			}
		}
		if !o.AccessLog || status == fiber.StatusOK && probe(route) {
			return nil
		}
		attrs := [10]slog.Attr{
			slog.String("request_id", RequestID(c)),
			slog.String("method", methodOf(c, r)),
			slog.String("route", route),
			slog.Int("status", status),
			slog.Float64("duration_ms", float64(took.Microseconds())/1000),
			slog.Int("bytes", bodySize(c.Response())),
			slog.String("address", clientAddress(c, o.TrustedProxies)),
		}
		n := 7
		if key != "" {
			attrs[n] = slog.String("key", key)
			n++
		}
		if failed != nil {
			attrs[n] = slog.String("reason", failed.Code.Reason())
			n++
		}
		o.Logger.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs[:n]...)
		return nil
	}
}

// withKey adds the id of the caller's key, if it is known.
func withKey(key string, attrs ...slog.Attr) []slog.Attr {
	if key == "" {
		return attrs
	}
	return append(attrs, slog.String("key", key))
}

// bodySize is the size of an answer's body. A stream has not been read yet: its Content-Length counts.
func bodySize(answer *fasthttp.Response) int {
	if answer.IsBodyStream() {
		return answer.Header.ContentLength()
	}
	return len(answer.Body())
}

// probe reports whether a route is a health check. Its good answers are not logged: machines ask every few seconds.
func probe(route string) bool { return route == "/livez" || route == "/readyz" }

// levelOf is the level of a failure of the service itself. An unavailable store is only a warning: readiness reports it,
// too, and it is normal while the service stops.
func levelOf(code fault.Code) slog.Level {
	if code == fault.Unavailable {
		return slog.LevelWarn
	}
	return slog.LevelError
}

// methodOf is the method of the request, "other" for a method that the framework does not know.
func methodOf(c *fiber.Ctx, r *request) string {
	if r.unknownMethod {
		return "other"
	}
	return c.Method()
}
