package handlers

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
)

// Message is a plain word from the service.
type Message struct {
	Msg string `json:"msg" required:"true"`
}

// Hello answers that this is Latchkey.
func Hello(c *fiber.Ctx) error {
	return c.JSON(Message{Msg: "Hello from our latchkey app."})
}

// Status says how the service is.
type Status struct {
	Status string `json:"status" example:"ok" required:"true"`
}

// Live answers that the process serves requests. It touches nothing else, so that an orchestrator does not restart an
// instance because of what lies outside it.
func Live(c *fiber.Ctx) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.JSON(Status{Status: "ok"})
}

// Ready answers whether the service can do its work, as check says: 200, or fault.Unavailable.
func Ready(check func(context.Context) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if err := check(c.UserContext()); err != nil {
			return fault.Wrap(fault.Unavailable, err)
		}
		c.Set(fiber.HeaderCacheControl, "no-store")
		return c.JSON(Status{Status: "ok"})
	}
}
