package middleware

import (
	"net/netip"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// Audited stands before the guard of every route that serves the administration of keys. It tells the handler where the
// request came from, and notes for the audit when a caller whose signature verified is refused. Anonymous refusals are a
// metric and a log line only: who floods the service must not fill the store.
func (g *Guard) Audited(trusted []netip.Prefix) fiber.Handler {
	return func(c *fiber.Ctx) error {
		actor := keys.Actor{RequestID: strings.Clone(RequestID(c)), Address: clientAddress(c, trusted)}
		c.Locals(keys.ActorKey{}, actor)
		err := c.Next()
		if err == nil || !barred(asFault(err).Code) {
			return err
		}
		r := requestOf(c.Context())
		if actor.Key = r.keyID(); actor.Key != "" {
			g.keyring.Refused(actor, c.Route().Method+" "+r.routeName())
		}
		return err
	}
}

// barred is whether a refusal was about who the caller is, and not about what it asked for.
func barred(code fault.Code) bool {
	switch StatusOf(code) {
	case fiber.StatusUnauthorized, fiber.StatusForbidden, fiber.StatusTooManyRequests:
		return true
	default:
		return false
	}
}
