package middleware

import (
	"math"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
)

// rateLimit counts a request against the limit of the caller's key, and refuses it when nothing is left. With a limit,
// every answer says what is left, in the fields of draft-ietf-httpapi-ratelimit-headers-10.
func rateLimit(c *fiber.Ctx) error {
	q := requestOf(c.Context()).principal.Take()
	if !q.Limited {
		return c.Next()
	}
	c.Set("RateLimit-Policy", `"key";q=`+strconv.Itoa(q.Burst)+`;w=`+seconds(q.Window))
	c.Set("RateLimit", `"key";r=`+strconv.Itoa(q.Remaining)+`;t=`+seconds(q.Reset))
	if !q.Allowed {
		c.Set(fiber.HeaderRetryAfter, seconds(q.Wait))
		return fault.New(fault.TooManyRequests)
	}
	return c.Next()
}

// seconds rounds up to whole seconds, at least 1.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}
