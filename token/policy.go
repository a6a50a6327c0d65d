package token

import (
	"errors"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-api/latchkey/fault"
)

// Rules is what a token must satisfy beyond its signature.
type Rules struct {
	// Audience is this service's name; a token's aud claim must be it or contain it, exactly.
	Audience string
	// RequireAudience refuses a token without aud. A present one must match in any case.
	RequireAudience bool
	// Leeway is how far the clocks of caller and service may differ.
	Leeway time.Duration
	// MaxLifetime bounds exp - iat (exp - nbf in a token without iat).
	MaxLifetime time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Policy is Rules made ready for use. It does not change and is safe for concurrent use.
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

// check returns the first failure in the documented order, whatever order the validator found them in.
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

// Times are the exp, nbf and iat of a token. Their size does not depend on the token.
type Times struct {
	expires, notBefore, issued time.Time // zero where absent
}

// ExpiresAt is the exp claim in UTC, the zero time where there is none.
func (t Times) ExpiresAt() time.Time { return t.expires.UTC() }

// InTime says whether the times that the clock moves past still hold, with the leeway. It is for the times of claims that
// were valid before, of which nothing else can have changed.
func (p *Policy) InTime(t Times) bool {
	now, leeway := p.rules.Now(), p.rules.Leeway
	begun := func(at time.Time) bool { return at.IsZero() || !now.Before(at.Add(-leeway)) }
	return now.Before(t.expires.Add(leeway)) && begun(t.notBefore) && begun(t.issued)
}

// times shows the validator the three times of a Claims and nothing else. The audience is not its work: it takes an
// empty aud for an absent one.
type times struct{ *Claims }

func (t times) GetExpirationTime() (*jwt.NumericDate, error) { return t.expires, nil }
func (t times) GetIssuedAt() (*jwt.NumericDate, error)       { return t.issued, nil }
func (t times) GetNotBefore() (*jwt.NumericDate, error)      { return t.notBefore, nil }

// Validate hides the Validate of Claims, which would begin again from the start.
func (t times) Validate() error { return nil }
