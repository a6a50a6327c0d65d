package token

import (
	"errors"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-api/latchkey/fault"
)

// Rules are the conditions for a token whose signature is right.
type Rules struct {
	// Audience is the name of this service. The aud claim must equal or contain it, exactly.
	Audience string
	// RequireAudience refuses a token without aud. An aud that is present must always match.
	RequireAudience bool
	// Leeway is how much the clocks of the caller and the service may differ.
	Leeway time.Duration
	// MaxLifetime is the maximum of exp - iat, or of exp - nbf in a token without iat.
	MaxLifetime time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Policy checks claims against Rules. It is safe for concurrent use.
type Policy struct {
	rules     Rules
	validator *jwt.Validator
}

// NewPolicy makes a policy.
func NewPolicy(r Rules) *Policy {
	if r.Now == nil {
		r.Now = time.Now
	}
	return &Policy{
		rules: r,
		validator: jwt.NewValidator(
			jwt.WithLeeway(r.Leeway),
			jwt.WithTimeFunc(r.Now),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
		),
	}
}

// check returns the first failure in the documented order. The validator may find them in another order.
func (p *Policy) check(c *Claims) error {
	err := p.validator.Validate(times{c})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return fault.Wrap(fault.TokenExpired, err)
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return fault.Wrap(fault.TokenNotYetValid, err)
	case err != nil:
		return fault.Wrap(fault.ClaimMissing, err)
	case c.issued == nil && c.notBefore == nil:
		return fault.New(fault.ClaimMissing)
	case !c.hasAud && p.rules.RequireAudience:
		return fault.New(fault.ClaimMissing)
	case c.hasAud && !slices.Contains(c.audience, p.rules.Audience):
		return fault.New(fault.AudienceInvalid)
	}
	begin := c.issued
	if begin == nil {
		begin = c.notBefore
	}
	if c.expires.Sub(begin.Time) > p.rules.MaxLifetime {
		return fault.New(fault.LifetimeTooLong)
	}
	return nil
}

// Times are the exp, nbf and iat claims of a token. Their size does not depend on the token, so a cache can keep many.
type Times struct {
	expires, notBefore, issued time.Time // zero where absent
}

// ExpiresAt returns the exp claim in UTC, the zero time if absent.
func (t Times) ExpiresAt() time.Time { return t.expires.UTC() }

// InTime reports whether a token is not expired and not early, with the leeway. It is for a token that was valid before:
// of all checks, only these two can change with time.
func (p *Policy) InTime(t Times) bool {
	now, leeway := p.rules.Now(), p.rules.Leeway
	begun := func(at time.Time) bool { return at.IsZero() || !now.Before(at.Add(-leeway)) }
	return now.Before(t.expires.Add(leeway)) && begun(t.notBefore) && begun(t.issued)
}

// times gives the validator the three times of the claims and nothing else. It must not see the audience: it would treat
// an empty aud as absent.
type times struct{ *Claims }

func (t times) GetExpirationTime() (*jwt.NumericDate, error) { return t.expires, nil }
func (t times) GetIssuedAt() (*jwt.NumericDate, error)       { return t.issued, nil }
func (t times) GetNotBefore() (*jwt.NumericDate, error)      { return t.notBefore, nil }

// Validate hides Claims.Validate, which would call check again.
func (t times) Validate() error { return nil }
