package handlers

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
)

// Message is a greeting of the service.
type Message struct {
	Msg string `json:"msg" required:"true"`
}

// Hello answers the greeting of Latchkey.
func Hello(c *fiber.Ctx) error {
	return c.JSON(Message{Msg: "Hello from our latchkey app."})
}

// Status is the state of the service.
type Status struct {
	Status string `json:"status" example:"ok" required:"true"`
}

// Live answers that the process serves requests. It checks nothing else, so that an orchestrator does not restart an instance
// because of a failure elsewhere.
func Live(c *fiber.Ctx) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.JSON(Status{Status: "ok"})
}

// Ready answers 200, or fault.Unavailable if check fails.
func Ready(check func(context.Context) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if err := check(c.UserContext()); err != nil {
			return fault.Wrap(fault.Unavailable, err)
		}
		c.Set(fiber.HeaderCacheControl, "no-store")
		return c.JSON(Status{Status: "ok"})
	}
}
