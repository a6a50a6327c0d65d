package middleware

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
)

// challenge is how every WWW-Authenticate header begins (RFC 6750, section 3).
const challenge = `Bearer realm="latchkey"`

// RetryAfter is what a caller is asked to wait, in seconds, when the store cannot be used.
const RetryAfter = "1"

// StatusOf is the HTTP status of a code: the only place where the two meet.
func StatusOf(code fault.Code) int {
	switch code {
	case fault.BadRequest, fault.AuthorizationRepeated:
		return fiber.StatusBadRequest
	case fault.AuthorizationMissing, fault.TokenTooLong, fault.TokenMalformed, fault.KeyNotAcceptable,
		fault.SignatureInvalid, fault.TokenExpired, fault.TokenNotYetValid, fault.ClaimMissing,
		fault.AudienceInvalid, fault.LifetimeTooLong, fault.APITokenMissing, fault.APITokenIncorrect:
		return fiber.StatusUnauthorized
	case fault.InsufficientScope:
		return fiber.StatusForbidden
	case fault.NotFound:
		return fiber.StatusNotFound
	case fault.MethodNotAllowed:
		return fiber.StatusMethodNotAllowed
	case fault.RequestTimeout:
		return fiber.StatusRequestTimeout
	case fault.Conflict:
		return fiber.StatusConflict
	case fault.BodyTooLarge:
		return fiber.StatusRequestEntityTooLarge
	case fault.UnsupportedMediaType:
		return fiber.StatusUnsupportedMediaType
	case fault.Invalid:
		return fiber.StatusUnprocessableEntity
	case fault.TooManyRequests:
		return fiber.StatusTooManyRequests
	case fault.HeaderTooLarge:
		return fiber.StatusRequestHeaderFieldsTooLarge
	case fault.Unavailable:
		return fiber.StatusServiceUnavailable
	case fault.Timeout:
		return fiber.StatusGatewayTimeout
	default:
		return fiber.StatusInternalServerError
	}
}

// Challenge is the WWW-Authenticate header of a refusal, "" where the code asks for none. A request without any
// credentials is told no error (RFC 6750, section 3.1).
func Challenge(f *fault.Error) string {
	switch status := StatusOf(f.Code); {
	case f.Code == fault.AuthorizationMissing:
		return challenge
	case f.Code == fault.AuthorizationRepeated:
		return challenge + `, error="invalid_request", error_description="` + f.Code.Text() + `"`
	case status == fiber.StatusUnauthorized:
		return challenge + `, error="invalid_token", error_description="` + f.Code.Text() + `"`
	case status == fiber.StatusForbidden:
		return challenge + `, error="insufficient_scope", scope="` + f.Scope + `"`
	default:
		return ""
	}
}

// asFault gives every error a code: its own, that of the framework's routing errors, Timeout for a deadline that ended
// the request, and Internal for what nobody classified.
func asFault(err error) *fault.Error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.Wrap(fault.Timeout, err)
	}
	if fe, ok := errors.AsType[*fiber.Error](err); ok {
		switch fe.Code {
		case fiber.StatusNotFound:
			return fault.New(fault.NotFound)
		case fiber.StatusMethodNotAllowed:
			return fault.New(fault.MethodNotAllowed)
		}
	}
	return fault.Wrap(fault.Internal, err)
}

// respond writes a failure as the service's one error form. Nothing of the cause is in it.
func respond(ctx *fasthttp.RequestCtx, f *fault.Error) {
	header := &ctx.Response.Header
	if value := Challenge(f); value != "" {
		header.Set(fiber.HeaderWWWAuthenticate, value)
	}
	if f.Code == fault.Unavailable {
		header.Set(fiber.HeaderRetryAfter, RetryAfter)
	}
	header.Set(fiber.HeaderCacheControl, "no-store")
	header.SetContentType(fiber.MIMEApplicationJSON)
	ctx.Response.SetStatusCode(StatusOf(f.Code))
	ctx.Response.SetBodyRaw(Body(f))
}

// Body is the JSON that a failure is answered with.
func Body(f *fault.Error) []byte {
	var detail any = f.Code.Text()
	if f.Code == fault.Invalid {
		detail = append([]fault.Field{}, f.Fields...) // a list, also where nothing says which part is wrong
	}
	body, err := json.Marshal(map[string]any{"detail": detail})
	if err != nil { // strings and slices of strings always marshal
		return []byte(`{"detail":"Internal Server Error"}`)
	}
	return body
}
