package middleware

import (
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"
)

// browserProtection sets what keeps a browser from guessing a content type, and from telling other sites the address of a
// page. With HTTPS of our own, it also remembers for a year to come back over HTTPS only.
func browserProtection(ownTLS bool) fiber.Handler {
	return func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
		c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
		if ownTLS {
			c.Set(fiber.HeaderStrictTransportSecurity, "max-age=31536000")
		}
		return c.Next()
	}
}

// crossOrigin lets pages of the origins call the service and read its answers, refusals of any kind included.
func crossOrigin(origins []string) fiber.Handler {
	handle := cors.New(cors.Config{
		AllowOrigins:  strings.Join(origins, ","),
		AllowMethods:  "GET,HEAD,POST",
		AllowHeaders:  "Authorization,Content-Type,X-Request-ID",
		ExposeHeaders: "Link,Location,RateLimit,RateLimit-Policy,Retry-After,WWW-Authenticate,X-Request-ID",
		MaxAge:        600,
	})
	return func(c *fiber.Ctx) error {
		if c.Method() != fiber.MethodOptions {
			// Only a preflight has this header, and the library repeats it in the answer to anything else.
			c.Request().Header.Del(fiber.HeaderAccessControlRequestHeaders)
		} else if unreadable(c) != nil {
			c.Vary(fiber.HeaderOrigin)
			return c.Next() // what cannot be read is no preflight
		}
		return handle(c)
	}
}
