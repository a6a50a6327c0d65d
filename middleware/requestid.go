package middleware

import (
	"crypto/rand"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// maxRequestID is the length of the longest request id that is accepted from a caller.
const maxRequestID = 64

// requestID gives the request the id that stands in the answer and in the log: the caller's own, if it is 1..64 of
// [A-Za-z0-9._-], otherwise a random one.
func requestID(c *fiber.Ctx) error {
	id := c.Get(fiber.HeaderXRequestID)
	if !plainID(id) {
		id = strings.ToLower(rand.Text())
	}
	c.Set(fiber.HeaderXRequestID, id)
	return c.Next()
}

// RequestID is the id of the request. It points into the response: clone it to keep it longer.
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
