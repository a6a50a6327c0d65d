package handlers

import (
	"net/url"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/store"
)

// nextPage names the next page of a list, if there is one (RFC 8288). Parameters without a value are left out.
func nextPage(c *fiber.Ctx, path string, parameters url.Values, limit int, next store.Cursor) {
	if next.IsZero() {
		return
	}
	query := url.Values{"limit": {strconv.Itoa(limit)}, "cursor": {next.String()}}
	for name, values := range parameters {
		if values[0] != "" {
			query[name] = values
		}
	}
	c.Set(fiber.HeaderLink, "<"+path+"?"+query.Encode()+`>; rel="next"`)
}
