package middleware

import (
	"context"
	"log/slog"
	"sync"
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
	// Two limits: a flood of refusals must not hide what is wrong with the service itself.
	refusals := &lineLimit{most: refusalLines, flush: func(suppressed int) {
		o.Logger.Warn("refusals not logged one by one", "count", suppressed)
	}}
	failures := &lineLimit{most: refusalLines, flush: func(suppressed int) {
		o.Logger.Warn("failed requests not logged one by one", "count", suppressed)
	}}
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
		route, method, status := routeOf(c), c.Route().Method, c.Response().StatusCode()
		if route == unrouted {
			method = "other"
		}
		o.Metrics.observe(route, method, status, took)
		key := callerKey(c)
		if failed != nil {
			limit := failures
			if refusal(failed.Code) {
				o.Metrics.refused(failed.Code)
				limit = refusals
			}
			if !limit.allow(begin) {
				return nil
			}
			if !refusal(failed.Code) {
				o.Logger.LogAttrs(context.Background(), levelOf(failed.Code), "request failed", withKey(key,
					slog.String("request_id", RequestID(c)), slog.String("route", route), slog.Any("error", failed))...)
			}
		}
		if !o.AccessLog {
			return nil
		}
		attrs := [10]slog.Attr{
			slog.String("request_id", RequestID(c)),
			slog.String("method", methodOf(c)),
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

// levelOf is how bad a failure of the service itself is: a store that cannot be used is seen by readiness, too, and is
// normal while the service stops.
func levelOf(code fault.Code) slog.Level {
	if code == fault.Unavailable {
		return slog.LevelWarn
	}
	return slog.LevelError
}

// routeOf is the pattern of the route that answered.
func routeOf(c *fiber.Ctx) string {
	if name, ok := c.Locals(routeName{}).(string); ok {
		return name
	}
	return unrouted
}

// methodOf is the request's method, "other" for one that the framework does not know.
func methodOf(c *fiber.Ctx) string {
	if c.Locals(oddMethod{}) != nil {
		return "other"
	}
	return c.Method()
}

// lineLimit lets a number of lines through in each second and reports how many it held back when the second is over.
type lineLimit struct {
	most  int
	flush func(suppressed int)

	mu         sync.Mutex
	second     int64
	lines      int
	suppressed int
}

// allow says whether a line of the time now may be written.
func (l *lineLimit) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second != l.second { // also when the clock was set back
		l.second, l.lines = second, 0
	}
	if l.lines < l.most {
		l.lines++
		return true
	}
	if l.suppressed == 0 {
		time.AfterFunc(time.Second, l.report)
	}
	l.suppressed++
	return false
}

func (l *lineLimit) report() {
	l.mu.Lock()
	count := l.suppressed
	l.suppressed = 0
	l.mu.Unlock()
	l.flush(count)
}
