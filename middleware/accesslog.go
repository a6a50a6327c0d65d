package middleware

import (
	"context"
	"log/slog"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
)

// refusalLines is how many requests that failed, whosever fault it was, are logged in a second; the rest are counted in
// one line.
const refusalLines = 100

// unrouted is the route of a request that no route answers. The path itself would be a label that callers choose.
const unrouted = "unmatched"

// access writes the access line and counts. It answers errors itself, because the framework would do so only after
// this has read the status.
func access(o Options) fiber.Handler {
	// Two budgets: a flood of refusals must not hide what is wrong with the service itself.
	refusals := newLineBudget(refusalLines, func(suppressed int) {
		o.Logger.Warn("refusals not logged one by one", "count", suppressed)
	})
	failures := newLineBudget(refusalLines, func(suppressed int) {
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

		// The method is the route's: the request's own would let callers choose a label.
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

// withKey adds the caller's key, where there is one.
func withKey(key string, attrs ...slog.Attr) []slog.Attr {
	if key == "" {
		return attrs
	}
	return append(attrs, slog.String("key", key))
}

// bodySize is the size of an answer's body. One that is written later, from where it is, is not read for it.
func bodySize(answer *fasthttp.Response) int {
	if answer.IsBodyStream() {
		return answer.Header.ContentLength()
	}
	return len(answer.Body())
}

// probe says whether a route is asked by machines all day. While they are told that all is well, nobody wants to read it.
func probe(route string) bool { return route == "/livez" || route == "/readyz" }

// levelOf is how bad a failure of the service itself is: a store that cannot be used is seen by readiness, too, and is
// normal while the service stops.
func levelOf(code fault.Code) slog.Level {
	if code == fault.Unavailable {
		return slog.LevelWarn
	}
	return slog.LevelError
}

// methodOf is the request's method, "other" for one that the framework does not know.
func methodOf(c *fiber.Ctx, r *request) string {
	if r.unknownMethod {
		return "other"
	}
	return c.Method()
}
