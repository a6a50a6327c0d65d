package middleware

import (
	"errors"

	"github.com/gofiber/fiber/v2"
	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// apiKey is the second half of the guard. A verified token says only which key made it. Now the apiKey claim must name
// that key, and the key must be in force. Then the caller is a Principal, and no later handler sees the token. Whether
// the key is in force is checked for every request, also for a token from the cache.
func (g *Guard) apiKey(c *fiber.Ctx) error {
	r := requestOf(c.Context())
	if !r.cached {
		if err := r.readClaims(c.Locals(tokenKey)); err != nil {
			return err
		}
	}
	principal, err := g.keyring.Admit(r.token.key)
	if err != nil {
		return err
	}
	if r.token.narrow {
		principal.Scopes = principal.Scopes.Narrow(r.token.scopes)
	}
	principal.ExpiresAt = r.token.times.ExpiresAt()
	r.principal = principal
	c.Locals(keys.PrincipalKey{}, &r.principal)
	return c.Next()
}

// readClaims takes from the token that contrib/jwt stored what the rest of the request needs, if the apiKey claim names
// the key that verified it.
func (r *request) readClaims(stored any) error {
	parsed, ok := stored.(*jwt.Token)
	if !ok {
		return fault.Wrap(fault.Internal, errors.New("the apiKey check was called without a verified token"))
	}
	own, ok := parsed.Claims.(*claims)
	if !ok || own.key == nil {
		return fault.Wrap(fault.Internal, errors.New("the apiKey check was called with claims of another type, or without a key"))
	}
	r.key = own.key
	claim, present := own.APIKey()
	if !present {
		return fault.New(fault.APITokenMissing)
	}
	if !own.key.Claims(claim) {
		return fault.New(fault.APITokenIncorrect)
	}
	r.token = &verified{key: own.key, times: own.Times()}
	if scope, present := own.Scope(); present {
		r.token.scopes, r.token.narrow = keys.ParseScopes(scope), true
	}
	return nil
}
