package token

import (
	"errors"

	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-api/latchkey/fault"
)

// Refusal turns an error of the JWT parser into a fault. It keeps a fault from this package or from the choice of the key.
// The other errors are the parser's own, in the order of its checks.
func Refusal(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return fault.Wrap(fault.TokenMalformed, err)
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return fault.Wrap(fault.KeyNotAcceptable, err)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return fault.Wrap(fault.SignatureInvalid, err)
	default:
		return fault.Wrap(fault.Internal, err)
	}
}
