package token

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/internal/strictjson"
)

// maxNumericDate is 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
const maxNumericDate = 253402300799

// Claims is the payload of a token, read strictly:
//
//   - Names are exact. encoding/json would read "EXP" as "exp".
//   - No name occurs twice.
//   - A claim of the wrong type is refused, not converted.
//   - Unknown claims are ignored (RFC 7519, section 4).
//
// Do not trust Claims before the signature is verified. Validate runs after that.
type Claims struct {
	// Issuer, Subject and ID are the iss, sub and jti claims, "" if absent. Only their type is checked.
	Issuer, Subject, ID string

	apiKey    string
	hasAPIKey bool
	scope     string
	hasScope  bool
	audience  []string
	hasAud    bool

	expires, notBefore, issued *jwt.NumericDate

	policy *Policy
}

var (
	_ jwt.Claims          = (*Claims)(nil)
	_ jwt.ClaimsValidator = (*Claims)(nil)
	_ json.Unmarshaler    = (*Claims)(nil)
)

// UnmarshalJSON reads the payload. It runs before the signature is verified, so anybody can have written data. Its error
// is fault.TokenMalformed.
func (c *Claims) UnmarshalJSON(data []byte) error {
	members, err := readObject(data)
	if err != nil {
		return fault.Wrap(fault.TokenMalformed, err)
	}
	read := Claims{policy: c.policy}
	for _, m := range members {
		if !read.set(m) {
			return fault.Wrap(fault.TokenMalformed, errClaimType)
		}
	}
	*c = read
	return nil
}

var errClaimType = errors.New("a claim has the wrong type or range")

// set stores one claim. It reports whether the type and the range of the value are right.
func (c *Claims) set(m strictjson.Member) (ok bool) {
	switch m.Name {
	case "apiKey":
		c.apiKey, c.hasAPIKey, ok = apiKeyValue(m.Value)
	case "scope":
		c.hasScope = true
		c.scope, ok = strictjson.String(m.Value)
	case "aud":
		c.hasAud = true
		c.audience, ok = audienceValue(m.Value)
	case "exp":
		c.expires, ok = dateValue(m.Value)
	case "nbf":
		c.notBefore, ok = dateValue(m.Value)
	case "iat":
		c.issued, ok = dateValue(m.Value)
	case "iss":
		c.Issuer, ok = strictjson.String(m.Value)
	case "sub":
		c.Subject, ok = strictjson.String(m.Value)
	case "jti":
		c.ID, ok = strictjson.String(m.Value)
	default:
		ok = true
	}
	return ok
}

// APIKey returns the apiKey claim. It is not present if it is absent or an empty value: null, "", false, 0, [] or {}. Any
// other value that is not a string is present, with the value "", which no key has.
func (c *Claims) APIKey() (value string, present bool) { return c.apiKey, c.hasAPIKey }

// Scope returns the scope claim: names separated by spaces (RFC 8693, section 4.2). An empty claim is present, and grants
// nothing.
func (c *Claims) Scope() (value string, present bool) { return c.scope, c.hasScope }

// ExpiresAt returns the exp claim in UTC, the zero time if absent.
func (c *Claims) ExpiresAt() time.Time { return timeOf(c.expires).UTC() }

// Times returns the exp, nbf and iat claims.
func (c *Claims) Times() Times {
	return Times{expires: timeOf(c.expires), notBefore: timeOf(c.notBefore), issued: timeOf(c.issued)}
}

// timeOf returns the zero time for an absent claim.
func timeOf(date *jwt.NumericDate) time.Time {
	if date == nil {
		return time.Time{}
	}
	return date.Time
}

// Hold sets the policy that Validate applies. Without a policy, Validate refuses the claims.
func (c *Claims) Hold(p *Policy) { c.policy = p }

// Validate applies the policy. The parser calls it after the signature is verified. Its error is the fault of the first
// failed check, in the documented order.
func (c *Claims) Validate() error {
	if c.policy == nil {
		return fault.Wrap(fault.Internal, errors.New("claims without a policy"))
	}
	return c.policy.check(c)
}

// The getters of jwt.Claims return nothing. The parser passes them to a validator of its own, which knows no leeway; with
// nothing to check, that validator accepts. All checks are in Validate.

// GetExpirationTime returns nothing; see above.
func (c *Claims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }

// GetIssuedAt returns nothing; see above.
func (c *Claims) GetIssuedAt() (*jwt.NumericDate, error) { return nil, nil }

// GetNotBefore returns nothing; see above.
func (c *Claims) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }

// GetIssuer returns nothing; see above.
func (c *Claims) GetIssuer() (string, error) { return "", nil }

// GetSubject returns nothing; see above.
func (c *Claims) GetSubject() (string, error) { return "", nil }

// GetAudience returns nothing; see above.
func (c *Claims) GetAudience() (jwt.ClaimStrings, error) { return nil, nil }

// audienceValue reads a string or an array of strings (RFC 7519, section 4.1.3).
func audienceValue(raw string) ([]string, bool) {
	if raw[0] != '[' {
		one, ok := strictjson.String(raw)
		return []string{one}, ok
	}
	return strictjson.Strings(raw)
}

// dateValue reads a NumericDate (RFC 7519, section 2): seconds since 1970, with or without a fraction, from 0 to
// maxNumericDate.
func dateValue(raw string) (*jwt.NumericDate, bool) {
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return nil, false
	}
	seconds, err := strconv.ParseFloat(raw, 64)
	if err != nil || seconds < 0 || seconds > maxNumericDate {
		return nil, false
	}
	whole, fraction := math.Modf(seconds)
	return &jwt.NumericDate{Time: time.Unix(int64(whole), int64(fraction*float64(time.Second)))}, true
}

// apiKeyValue reads the apiKey claim, which may have any type. An empty value counts as absent, so that the caller learns
// that the claim is missing, not that the key is wrong.
func apiKeyValue(raw string) (value string, present, ok bool) {
	switch raw[0] {
	case '"':
		value, ok = strictjson.String(raw)
		return value, value != "", ok
	case '[', '{':
		return "", strings.TrimSpace(raw[1:len(raw)-1]) != "", true
	case 'n', 'f':
		return "", false, true
	case 't':
		return "", true, true
	default:
		number, err := strconv.ParseFloat(raw, 64)
		return "", err != nil || number != 0, true
	}
}
