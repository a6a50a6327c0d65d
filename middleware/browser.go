package middleware

import (
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"
)

// browserProtection sets the headers that protect browsers: no guessed content type, and no address of a page sent to
// other sites. With TLS of our own also: HTTPS only, for a year.
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

// crossOrigin lets pages of the origins call the service and read its answers, refusals included.
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
			// This header belongs to preflights only, but the library copies it into the answer to any request.
			c.Request().Header.Del(fiber.HeaderAccessControlRequestHeaders)
		} else if unreadable(c) != nil {
			c.Vary(fiber.HeaderOrigin)
			return c.Next() // framing refuses it
		}
		return handle(c)
	}
}
