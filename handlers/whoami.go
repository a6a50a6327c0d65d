package handlers

import (
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// Caller is what the service knows about the caller.
type Caller struct {
	Key       string   `json:"key" example:"shared" required:"true" description:"The id of the key that signed the token."`
	Client    string   `json:"client" example:"shared" required:"true" description:"Whom the key was issued to."`
	Scopes    []string `json:"scopes" required:"true" description:"What this token may do, sorted: the key's scopes, narrowed by the token's."`
	ExpiresAt string   `json:"expires_at" example:"2026-11-23T12:00:00Z" format:"date-time" required:"true" description:"When the token expires, UTC."`
}

// WhoAmI answers with the caller's own key and scopes.
func WhoAmI(c *fiber.Ctx) error {
	principal, ok := c.Locals(keys.PrincipalKey{}).(*keys.Principal)
	if !ok {
		return fault.Wrap(fault.Internal, errors.New("the route of whoami has no guard"))
	}
	return c.JSON(Caller{
		Key:       principal.KeyID,
		Client:    principal.Client,
		Scopes:    principal.Scopes.Names(),
		ExpiresAt: principal.ExpiresAt.UTC().Format(time.RFC3339),
	})
}
