package middleware

import (
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// Judge says what the service makes of a request whose Authorization header has the given value: the Principal it would
// act as, or the fault it would be refused with. It runs the handlers of the guard itself on a request that came over no
// network, so its answer is the service's answer. The scope and the limit of a key depend on the route, so they are not
// judged, and no token is remembered.
func (g *Guard) Judge(header string) (principal *keys.Principal, refused error) {
	if code, ok := refusedByEngine(header); ok {
		return nil, fault.New(code)
	}
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true,
		ErrorHandler:          func(_ *fiber.Ctx, err error) error { refused = err; return nil },
	})
	app.Get("/", append(g.Handlers(), func(c *fiber.Ctx) error {
		principal, _ = c.Locals(keys.PrincipalKey{}).(*keys.Principal)
		return nil
	})...)
	var request fasthttp.RequestCtx
	request.Request.Header.Set(fiber.HeaderAuthorization, header)
	app.Handler()(&request)
	if principal == nil && refused == nil {
		refused = fault.New(fault.Internal)
	}
	return principal, refused
}

// refusedByEngine is the code of a request that the engine refuses for its Authorization header, before any handler runs.
func refusedByEngine(header string) (code fault.Code, refused bool) {
	switch {
	case len(header) > ReadBufferSize:
		return fault.HeaderTooLarge, true
	case strings.ContainsFunc(header, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return fault.BadRequest, true
	default:
		return fault.Internal, false
	}
}
