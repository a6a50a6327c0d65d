package middleware

import (
	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// requireScope refuses a caller without scope. It stands after the guard.
func requireScope(scope keys.Scope) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if !requestOf(c.Context()).principal.Scopes.Has(scope) {
			return fault.NeedScope(string(scope))
		}
		return c.Next()
	}
}
