package middleware

import (
	"net/netip"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// Audited stands before the guard of every route that administrates keys. It gives the handler the Actor: where the
// request came from. It records in the audit that a caller was refused, if a key of ours verified the signature. Other
// refusals are only a metric and a log line: a flood of them must not fill the store.
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

// barred reports whether a refusal was about the caller, not about the content of the request.
func barred(code fault.Code) bool {
	switch StatusOf(code) {
	case fiber.StatusUnauthorized, fiber.StatusForbidden, fiber.StatusTooManyRequests:
		return true
	default:
		return false
	}
}
