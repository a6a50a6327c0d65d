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

// RetryAfter is the Retry-After header of a 503, in seconds.
const RetryAfter = "1"

// StatusOf is the HTTP status of a code. No other place maps the two.
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

// refusal reports whether a failure is the caller's.
func refusal(code fault.Code) bool { return StatusOf(code) < fiber.StatusInternalServerError }

// Challenge is the WWW-Authenticate header of a refusal, "" for a code without one. It has no error
// for a request without credentials (RFC 6750, section 3.1).
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

// asFault gives every error a code: its own if it is a fault, Timeout for a deadline, NotFound and MethodNotAllowed for
// errors of routing, and Internal for the rest.
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

// respond answers with a failure, in the one form that errors have. Nothing of the cause is in it.
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

// Body is the JSON of a failure.
func Body(f *fault.Error) []byte {
	var detail any = f.Code.Text()
	if f.Code == fault.Invalid {
		detail = append([]fault.Field{}, f.Fields...) // a list, even an empty one
	}
	body, err := json.Marshal(map[string]any{"detail": detail})
	if err != nil { // strings and slices of strings always marshal
		return []byte(`{"detail":"Internal Server Error"}`)
	}
	return body
}
