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

// Claims is the payload of a token, read strictly: names are exact (encoding/json would take "EXP" for "exp" and let it
// replace the real one), none occurs twice, and a claim of the wrong type is refused instead of converted. Unknown
// claims are allowed and ignored (RFC 7519, section 4).
//
// Nothing in a Claims may be believed before the signature is verified; Validate runs after that.
type Claims struct {
	// Issuer, Subject and ID are the iss, sub and jti claims, "" where absent. They are not checked, only read.
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

// UnmarshalJSON reads the payload; its error is fault.TokenMalformed. It runs before the signature check, on bytes that
// anybody may have written.
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

// set stores one claim and says whether its value has the type it must have.
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

// APIKey is the apiKey claim. present is false for every value that says nothing (absent, null, "", false, 0, [], {});
// any other value that is no string is present, and "", which equals no key.
func (c *Claims) APIKey() (value string, present bool) { return c.apiKey, c.hasAPIKey }

// Scope is the scope claim: names separated by spaces (RFC 8693, section 4.2). present tells an empty claim, which
// grants nothing, from none.
func (c *Claims) Scope() (value string, present bool) { return c.scope, c.hasScope }

// ExpiresAt is the exp claim in UTC, the zero time where there is none.
func (c *Claims) ExpiresAt() time.Time { return timeOf(c.expires).UTC() }

// Times are the three times of the claims, without the rest.
func (c *Claims) Times() Times {
	return Times{expires: timeOf(c.expires), notBefore: timeOf(c.notBefore), issued: timeOf(c.issued)}
}

func timeOf(date *jwt.NumericDate) time.Time {
	if date == nil {
		return time.Time{}
	}
	return date.Time
}

// Hold sets the policy that Validate holds the claims against. Without one, Validate refuses.
func (c *Claims) Hold(p *Policy) { c.policy = p }

// Validate is called by the parser after the signature was verified. It returns the first failure in the order that the
// service documents, as a fault.
func (c *Claims) Validate() error {
	if c.policy == nil {
		return fault.Wrap(fault.Internal, errors.New("claims without a policy"))
	}
	return c.policy.check(c)
}

// The getters of jwt.Claims tell the parser's own validator nothing: it is configured for nobody and would judge the
// times without leeway. What is judged is judged in Validate.

// GetExpirationTime returns nothing; see Validate.
func (c *Claims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }

// GetIssuedAt returns nothing; see Validate.
func (c *Claims) GetIssuedAt() (*jwt.NumericDate, error) { return nil, nil }

// GetNotBefore returns nothing; see Validate.
func (c *Claims) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }

// GetIssuer returns nothing; see Validate.
func (c *Claims) GetIssuer() (string, error) { return "", nil }

// GetSubject returns nothing; see Validate.
func (c *Claims) GetSubject() (string, error) { return "", nil }

// GetAudience returns nothing; see Validate.
func (c *Claims) GetAudience() (jwt.ClaimStrings, error) { return nil, nil }

// audienceValue reads a string or an array of strings (RFC 7519, section 4.1.3).
func audienceValue(raw string) ([]string, bool) {
	if raw[0] != '[' {
		one, ok := strictjson.String(raw)
		return []string{one}, ok
	}
	return strictjson.Strings(raw)
}

// dateValue reads a NumericDate (RFC 7519, section 2): seconds since 1970, not necessarily whole, within 0 and
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

// apiKeyValue reads the apiKey claim, which may have any type: what says nothing counts as absent, so that the caller
// is told that the claim is missing, not that it is wrong.
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
