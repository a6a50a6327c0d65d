package middleware

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
)

// recovery turns a panic into an Internal fault. The stack goes to the log only.
func recovery(logger *slog.Logger) fiber.Handler {
	return func(c *fiber.Ctx) (err error) {
		defer func() {
			if r := recover(); r != nil {
				logger.Error("panic", "request_id", RequestID(c), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
				err = fault.Wrap(fault.Internal, fmt.Errorf("panic: %v", r))
			}
		}()
		return c.Next()
	}
}
