package middleware

import (
	"errors"

	"github.com/gofiber/fiber/v2"
	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// apiKey is the second half of the guard: a token that verified says only who made it. The apiKey claim must be the one
// that belongs to the key that verified it, and that key be in force now; then the caller is a Principal, and nothing
// after this sees the token. It runs at every request, also for a token that was verified before.
func (g *Guard) apiKey(c *fiber.Ctx) error {
	held, remembered := c.Locals(knownKey{}).(*claims)
	if !remembered {
		verified, ok := c.Locals(tokenKey).(*jwt.Token)
		if !ok {
			return fault.Wrap(fault.Internal, errors.New("the apiKey check runs without a verified token"))
		}
		if held, ok = verified.Claims.(*claims); !ok || held.key == nil {
			return fault.Wrap(fault.Internal, errors.New("the apiKey check runs on foreign claims"))
		}
	}
	claimed, present := held.APIKey()
	if !present {
		c.Locals(verifiedBy{}, held.key)
		return fault.New(fault.APITokenMissing)
	}
	principal, err := g.keyring.Authorize(held.key, claimed)
	if err != nil {
		c.Locals(verifiedBy{}, held.key)
		return err
	}
	if scope, present := held.Scope(); present {
		principal.Scopes = principal.Scopes.Narrow(keys.ParseScopes(scope))
	}
	principal.ExpiresAt = held.ExpiresAt()
	c.Locals(keys.PrincipalKey{}, &principal)
	if !remembered {
		g.cache.remember(c, held)
	}
	return c.Next()
}
