package middleware

import (
	"errors"

	"github.com/gofiber/fiber/v2"
	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// apiKey is the second half of the guard: a token that verified says only who made it. The apiKey claim must be the one
// that belongs to the key that verified it; then the caller is a Principal, and nothing after this sees the token.
func apiKey(c *fiber.Ctx) error {
	verified, ok := c.Locals(tokenKey).(*jwt.Token)
	if !ok {
		return fault.Wrap(fault.Internal, errors.New("the apiKey check runs without a verified token"))
	}
	held, ok := verified.Claims.(*claims)
	if !ok || held.key == nil {
		return fault.Wrap(fault.Internal, errors.New("the apiKey check runs on foreign claims"))
	}
	claimed, present := held.APIKey()
	if !present {
		return fault.New(fault.APITokenMissing)
	}
	principal, err := held.key.Authorize(claimed)
	if err != nil {
		return err
	}
	if scope, present := held.Scope(); present {
		principal.Scopes = principal.Scopes.Narrow(keys.ParseScopes(scope))
	}
	principal.ExpiresAt = held.ExpiresAt()
	c.Locals(keys.PrincipalKey{}, &principal)
	return c.Next()
}
