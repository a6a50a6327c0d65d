package middleware

import (
	"bytes"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
)

// framing refuses requests that are unreadable or ambiguous.
func framing(c *fiber.Ctx) error {
	if f := unreadable(c); f != nil {
		return f
	}
	err := c.Next()
	if (c.Method() == fiber.MethodTrace || c.Method() == fiber.MethodOptions) && asFault(err).Code == fault.NotFound {
		// TRACE, OPTIONS and unknown methods are allowed nowhere, also where there is no route.
		c.Set(fiber.HeaderAllow, strings.Join([]string{fiber.MethodGet, fiber.MethodHead, fiber.MethodPost}, ", "))
		return fault.New(fault.MethodNotAllowed)
	}
	return err
}

// unreadable is the fault of a request that a proxy before us may have read in another way, nil for a sound one:
//
//   - the engine could not read it; but a body that is too large came behind a sound header, and Route refuses it
//   - the path ends in several slashes
//   - the version is not HTTP/1.x, the target has a broken escape, or the length is ambiguous
//   - the Host is no host
func unreadable(c *fiber.Ctx) *fault.Error {
	if f := requestOf(c.Context()).engineFault; f != nil && f.Code != fault.BodyTooLarge {
		return f
	}
	if path := c.Path(); len(path) > 1 && strings.HasSuffix(path, "//") {
		return fault.New(fault.NotFound) // the framework ignores any number of slashes at the end
	}
	header := &c.Request().Header
	// The engine answers every version as if it were HTTP/1.
	if !bytes.HasPrefix(header.Protocol(), []byte("HTTP/1.")) || !soundEscapes(header.RequestURI()) || ambiguousLength(header) {
		return fault.New(fault.BadRequest)
	}
	// The engine lets a request without Host through only with HTTP/1.0.
	if host := header.Host(); len(host) > 0 && !SoundHost(utils.UnsafeString(host)) {
		return fault.New(fault.BadRequest)
	}
	return nil
}

// ambiguousLength reports whether a request has both a Transfer-Encoding and a Content-Length. The engine uses the first,
// as it should, but a proxy before us may have used the other (RFC 9112, section 6.3). Only the raw header shows both: the
// engine overwrites the Content-Length with the length that it found.
func ambiguousLength(header *fasthttp.RequestHeader) bool {
	return hasLine(header.RawHeaders(), "transfer-encoding") && hasLine(header.RawHeaders(), "content-length")
}

// hasLine reports whether a raw header has a line with this name.
func hasLine(header []byte, name string) bool {
	for line := range bytes.Lines(header) {
		if before, _, ok := bytes.Cut(line, []byte{':'}); ok && strings.EqualFold(utils.UnsafeString(before), name) {
			return true
		}
	}
	return false
}

// soundEscapes reports whether two hexadecimal digits follow every percent sign (RFC 3986, section 2.1).
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
