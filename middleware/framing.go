package middleware

import (
	"bytes"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
)

// framing refuses what is unreadable.
func framing(c *fiber.Ctx) error {
	if f := unreadable(c); f != nil {
		return f
	}
	err := c.Next()
	if (c.Method() == fiber.MethodTrace || c.Method() == fiber.MethodOptions) && asFault(err).Code == fault.NotFound {
		// TRACE, OPTIONS and unknown methods are not allowed anywhere, not even where there is nothing.
		c.Set(fiber.HeaderAllow, strings.Join([]string{fiber.MethodGet, fiber.MethodHead, fiber.MethodPost}, ", "))
		return fault.New(fault.MethodNotAllowed)
	}
	return err
}

// unreadable is what is wrong with a request that could not be read, or whose Host is none, or whose target has an escape
// that is none: what such a path means would be guessed, by us and by a proxy before us, and not always alike. It is nil
// for one whose body is too large: that was found behind a sound header, so it is refused after routing, by the route itself.
func unreadable(c *fiber.Ctx) *fault.Error {
	if f := requestOf(c.Context()).engineFault; f != nil && f.Code != fault.BodyTooLarge {
		return f
	}
	if path := c.Path(); len(path) > 1 && strings.HasSuffix(path, "//") {
		return fault.New(fault.NotFound) // the framework would take any number of slashes for one
	}
	header := &c.Request().Header
	// The engine answers any version in the way of HTTP/1.
	if !bytes.HasPrefix(header.Protocol(), []byte("HTTP/1.")) || !soundEscapes(header.RequestURI()) || ambiguousLength(header) {
		return fault.New(fault.BadRequest)
	}
	// Only HTTP/1.0 goes without; the engine has refused the rest.
	if host := header.Host(); len(host) > 0 && !SoundHost(utils.UnsafeString(host)) {
		return fault.New(fault.BadRequest)
	}
	return nil
}

// ambiguousLength says whether a request has both a Transfer-Encoding and a Content-Length. The engine goes by the
// first, as it should, but a proxy before us may have gone by the other (RFC 9112, section 6.3). Only the bytes that came
// tell it: the engine writes the length that it found over the one that was sent.
func ambiguousLength(header *fasthttp.RequestHeader) bool {
	return hasLine(header.RawHeaders(), "transfer-encoding") && hasLine(header.RawHeaders(), "content-length")
}

// hasLine says whether a header has a line with a name, which is lower-case.
func hasLine(header []byte, name string) bool {
	for line := range bytes.Lines(header) {
		if before, _, ok := bytes.Cut(line, []byte{':'}); ok && strings.EqualFold(utils.UnsafeString(before), name) {
			return true
		}
	}
	return false
}

// soundEscapes says whether every percent sign begins an escape of two hexadecimal digits (RFC 3986, section 2.1).
func soundEscapes(target []byte) bool {
	for i := 0; i < len(target); i++ {
		if target[i] != '%' {
			continue
		}
		if i+2 >= len(target) || !isHex(target[i+1]) || !isHex(target[i+2]) {
			return false
		}
		i += 2
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
