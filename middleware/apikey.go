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
	held, remembered := c.Locals(knownKey{}).(*verified)
	if !remembered {
		var err error
		if held, err = g.claimed(c); err != nil {
			return err
		}
	}
	principal, err := g.keyring.Admit(held.key)
	if err != nil {
		c.Locals(provenKey{}, held.key)
		return err
	}
	if held.narrow {
		principal.Scopes = principal.Scopes.Narrow(held.scopes)
	}
	principal.ExpiresAt = held.times.ExpiresAt()
	c.Locals(keys.PrincipalKey{}, &principal)
	return c.Next()
}

// claimed takes from the token that contrib/jwt has verified what the rest of the request needs, if its apiKey claim is
// the key's own.
func (g *Guard) claimed(c *fiber.Ctx) (*verified, error) {
	parsed, ok := c.Locals(tokenKey).(*jwt.Token)
	if !ok {
		return nil, fault.Wrap(fault.Internal, errors.New("the apiKey check runs without a verified token"))
	}
	said, ok := parsed.Claims.(*claims)
	if !ok || said.key == nil {
		return nil, fault.Wrap(fault.Internal, errors.New("the apiKey check runs on foreign claims"))
	}
	claim, present := said.APIKey()
	if !present {
		c.Locals(provenKey{}, said.key)
		return nil, fault.New(fault.APITokenMissing)
	}
	if !said.key.Claims(claim) {
		c.Locals(provenKey{}, said.key)
		return nil, fault.New(fault.APITokenIncorrect)
	}
	held := &verified{key: said.key, times: said.Times()}
	if scope, present := said.Scope(); present {
		held.scopes, held.narrow = keys.ParseScopes(scope), true
	}
	if g.cache != nil {
		c.Locals(freshKey{}, held)
	}
	return held, nil
}
