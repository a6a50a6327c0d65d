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
// after this sees the token. Whether the key is in force is asked at every request, also for a token that was verified
// before.
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

// readClaims keeps what the rest of the request needs of the token that contrib/jwt left, if its apiKey claim is the
// key's own.
func (r *request) readClaims(left any) error {
	parsed, ok := left.(*jwt.Token)
	if !ok {
		return fault.Wrap(fault.Internal, errors.New("the apiKey check runs without a verified token"))
	}
	said, ok := parsed.Claims.(*claims)
	if !ok || said.key == nil {
		return fault.Wrap(fault.Internal, errors.New("the apiKey check runs on foreign claims"))
	}
	r.key = said.key
	claim, present := said.APIKey()
	if !present {
		return fault.New(fault.APITokenMissing)
	}
	if !said.key.Claims(claim) {
		return fault.New(fault.APITokenIncorrect)
	}
	r.token = &verified{key: said.key, times: said.Times()}
	if scope, present := said.Scope(); present {
		r.token.scopes, r.token.narrow = keys.ParseScopes(scope), true
	}
	return nil
}
