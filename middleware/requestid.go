package middleware

import (
	"crypto/rand"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// maxRequestID is the longest request id that is taken over from the caller.
const maxRequestID = 64

// requestID names the request in the answer and in the log: with the caller's own name for it where that is 1..64 of
// [A-Za-z0-9._-], and with a fresh one otherwise.
func requestID(c *fiber.Ctx) error {
	id := c.Get(fiber.HeaderXRequestID)
	if !plainID(id) {
		id = strings.ToLower(rand.Text())
	}
	c.Set(fiber.HeaderXRequestID, id)
	return c.Next()
}

// RequestID is the request's id. It points into the response, so it must be cloned by who keeps it.
func RequestID(c *fiber.Ctx) string { return c.GetRespHeader(fiber.HeaderXRequestID) }

func plainID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
