package handlers

import (
	"net/url"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/store"
)

// How many rows a page of a list has.
const (
	defaultPageSize = 50
	maxPageSize     = 200
)

// page reads the cursor and the page size of a list.
func (f *fields) page(c *fiber.Ctx, list store.List) store.Page {
	after, err := store.ParseCursor(list, c.Query("cursor"))
	if err != nil {
		f.add(inQuery, "cursor", "not a cursor of this list", "cursor_invalid")
	}
	return store.Page{Size: f.pageSize(c), After: after}
}

// pageSize reads the page size of a list; the query calls it limit.
func (f *fields) pageSize(c *fiber.Ctx) int {
	text := c.Query("limit")
	if text == "" {
		return defaultPageSize
	}
	size, err := strconv.ParseUint(text, 10, 16)
	if err != nil || size < 1 || size > maxPageSize {
		f.add(inQuery, "limit", "must be a whole number from 1 to "+strconv.Itoa(maxPageSize), "int_range")
	}
	return int(size)
}

// nextPage puts the next page of a list, if there is one, in the Link header (RFC 8288). Parameters without a value are left out.
func nextPage(c *fiber.Ctx, path string, parameters url.Values, size int, next store.Cursor) {
	if next.IsZero() {
		return
	}
	query := url.Values{"limit": {strconv.Itoa(size)}, "cursor": {next.String()}}
	for name, values := range parameters {
		if values[0] != "" {
			query[name] = values
		}
	}
	c.Set(fiber.HeaderLink, "<"+path+"?"+query.Encode()+`>; rel="next"`)
}
