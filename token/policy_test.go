package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/token"
)

// now is the time in every test. at returns a time some seconds later.
var now = time.Unix(1_763_900_000, 0)

func at(seconds int) int64 { return now.Unix() + int64(seconds) }

func rules() token.Rules {
	return token.Rules{
		Audience: "latchkey-api", RequireAudience: true,
		Leeway: 30 * time.Second, MaxLifetime: time.Hour,
		Now: func() time.Time { return now },
	}
}

func judge(t *testing.T, r token.Rules, payload string) error {
	t.Helper()
	var c token.Claims
	if err := c.UnmarshalJSON([]byte(payload)); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	c.Hold(token.NewPolicy(r))
	return c.Validate()
}

func TestPolicy(t *testing.T) {
	const aud = `,"aud":"latchkey-api"}`
	times := func(exp, iat int) string { return fmt.Sprintf(`{"exp":%d,"iat":%d`, at(exp), at(iat)) }
	tests := []struct {
		name, payload string
		refused       bool
		code          fault.Code
	}{
		{name: "good", payload: times(300, 0) + aud},
		{name: "aud in an array", payload: times(300, 0) + `,"aud":["other","latchkey-api"]}`},
		{name: "nbf instead of iat", payload: fmt.Sprintf(`{"exp":%d,"nbf":%d`, at(300), at(0)) + aud},
		{name: "expired within the leeway", payload: times(-29, -300) + aud},
		{"expired at the leeway", times(-30, -300) + aud, true, fault.TokenExpired},
		{"expired long ago", times(-4000, -4300) + aud, true, fault.TokenExpired},
		{name: "iat ahead within the leeway", payload: times(300, 30) + aud},
		{"iat ahead", times(300, 31) + aud, true, fault.TokenNotYetValid},
		{name: "nbf ahead within the leeway", payload: fmt.Sprintf(`{"exp":%d,"nbf":%d`, at(300), at(30)) + aud},
		{"nbf ahead", fmt.Sprintf(`{"exp":%d,"nbf":%d`, at(300), at(31)) + aud, true, fault.TokenNotYetValid},
		{"nbf ahead, iat not", fmt.Sprintf(`{"exp":%d,"nbf":%d,"iat":%d`, at(300), at(31), at(0)) + aud, true, fault.TokenNotYetValid},
		{"no exp", fmt.Sprintf(`{"iat":%d`, at(0)) + aud, true, fault.ClaimMissing},
		{"no aud", times(300, 0) + `}`, true, fault.ClaimMissing},
		{"neither iat nor nbf", fmt.Sprintf(`{"exp":%d`, at(300)) + aud, true, fault.ClaimMissing},
		{"another aud", times(300, 0) + `,"aud":"other"}`, true, fault.AudienceInvalid},
		{"aud in another case", times(300, 0) + `,"aud":"Latchkey-API"}`, true, fault.AudienceInvalid},
		{"aud with something behind it", times(300, 0) + `,"aud":"latchkey-api "}`, true, fault.AudienceInvalid},
		{"aud empty", times(300, 0) + `,"aud":""}`, true, fault.AudienceInvalid},
		{"aud an empty array", times(300, 0) + `,"aud":[]}`, true, fault.AudienceInvalid},
		{"aud an array with an empty text", times(300, 0) + `,"aud":[""]}`, true, fault.AudienceInvalid},
		{name: "as long as allowed", payload: times(3600, 0) + aud},
		{"a second longer", times(3601, 0) + aud, true, fault.LifetimeTooLong},
		{"too long since nbf", fmt.Sprintf(`{"exp":%d,"nbf":%d`, at(3601), at(0)) + aud, true, fault.LifetimeTooLong},
		{name: "iat counts where both are there", payload: fmt.Sprintf(`{"exp":%d,"nbf":%d,"iat":%d`, at(3599), at(-60), at(0)) + aud},

		// The first failure in the documented order wins.
		{"expired and ahead", fmt.Sprintf(`{"exp":%d,"iat":%d`, at(-60), at(60)) + aud, true, fault.TokenExpired},
		{"expired and no aud", times(-60, -90) + `}`, true, fault.TokenExpired},
		{"ahead and no exp", fmt.Sprintf(`{"iat":%d`, at(60)) + aud, true, fault.TokenNotYetValid},
		{"no exp and another aud", fmt.Sprintf(`{"iat":%d,"aud":"x"}`, at(0)), true, fault.ClaimMissing},
		{"another aud and too long", times(9999, 0) + `,"aud":"x"}`, true, fault.AudienceInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantCode(t, judge(t, rules(), tt.payload), tt.code, tt.refused)
		})
	}
}

func TestPolicyOptionalAudience(t *testing.T) {
	lax := rules()
	lax.RequireAudience = false
	payload := fmt.Sprintf(`{"exp":%d,"iat":%d`, at(300), at(0))
	wantCode(t, judge(t, lax, payload+`}`), 0, false)
	wantCode(t, judge(t, lax, payload+`,"aud":"latchkey-api"}`), 0, false)
	wantCode(t, judge(t, lax, payload+`,"aud":"other"}`), fault.AudienceInvalid, true)
	wantCode(t, judge(t, lax, payload+`,"aud":""}`), fault.AudienceInvalid, true)
	wantCode(t, judge(t, lax, payload+`,"aud":[]}`), fault.AudienceInvalid, true)
}

func TestClaimsWithoutPolicyAreRefused(t *testing.T) {
	var c token.Claims
	if err := c.Validate(); err == nil {
		t.Error("claims without a policy are valid")
	}
}

// TestParserCallsValidate shows that the parser of the library uses Claims as intended: its own validator finds nothing to
// check, and it calls Validate.
func TestParserCallsValidate(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	parse := func(raw string) error {
		var c token.Claims
		c.Hold(token.NewPolicy(rules()))
		_, err := jwt.ParseWithClaims(raw, &c, func(*jwt.Token) (any, error) { return secret, nil })
		if err == nil {
			return nil
		}
		return token.Refusal(err)
	}
	mint := func(alg string, secret []byte, g token.Grant) string {
		signing, err := token.HMAC(alg, "", secret)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := token.Mint(signing, g)
		if err != nil {
			t.Fatal(err)
		}
		if err := token.CheckCompact(raw); err != nil {
			t.Fatalf("CheckCompact refuses a token from Mint: %v", err)
		}
		return raw
	}
	grant := token.Grant{APIKey: "k", Audience: "latchkey-api", Now: now, TTL: time.Minute}
	wantCode(t, parse(mint("HS256", secret, grant)), 0, false)
	wantCode(t, parse(mint("HS512", secret, grant)), 0, false) // which algorithm a key allows is not checked here
	wantCode(t, parse(mint("HS256", secret[1:], grant)), fault.SignatureInvalid, true)
	wantCode(t, parse(compact(`{"alg":"none"}`, `{}`)), fault.KeyNotAcceptable, true)
	wantCode(t, parse(compact(`{"alg":"HS1"}`, `{}`)), fault.KeyNotAcceptable, true)
	wantCode(t, parse(compact(`{"alg":5}`, `{}`)), fault.KeyNotAcceptable, true)
	wantCode(t, parse(compact(`{}`, `{}`)), fault.KeyNotAcceptable, true)
	wantCode(t, parse(compact(`{}`, `{"exp":"x"}`)), fault.TokenMalformed, true)
	grant.TTL = 2 * time.Hour
	wantCode(t, parse(mint("HS256", secret, grant)), fault.LifetimeTooLong, true)
	grant.Now = now.Add(-3 * time.Hour)
	wantCode(t, parse(mint("HS256", secret, grant)), fault.TokenExpired, true)
}

func TestMint(t *testing.T) {
	scope := ""
	hmac, err := token.HMAC("HS256", "", []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(s token.Signing, g token.Grant) (token.Claims, map[string]any) {
		raw, err := token.Mint(s, g)
		if err != nil {
			t.Fatal(err)
		}
		var c token.Claims
		parsed, _, err := jwt.NewParser().ParseUnverified(raw, &c)
		if err != nil {
			t.Fatal(err)
		}
		return c, parsed.Header
	}
	grant := token.Grant{APIKey: "k", Audience: "a", Now: now, TTL: time.Minute}
	c, header := read(hmac, grant)
	if _, present := c.Scope(); present || header["kid"] != nil || header["alg"] != "HS256" {
		t.Errorf("what was not given is there: %+v %v", c, header)
	}
	if !c.ExpiresAt().Equal(now.Add(time.Minute)) {
		t.Errorf("exp is %v", c.ExpiresAt())
	}
	grant.Scope = &scope
	c, header = read(token.EdDSA("E0123456789A", private), grant)
	if got, present := c.Scope(); got != "" || !present || header["kid"] != "E0123456789A" || header["alg"] != "EdDSA" {
		t.Errorf("an empty scope, which grants nothing, or the kid was left out: %+v %v", c, header)
	}
	raw, err := token.Mint(token.EdDSA("E0123456789A", private), grant)
	if err != nil {
		t.Fatal(err)
	}
	var verified token.Claims
	verified.Hold(token.NewPolicy(token.Rules{Audience: "a", MaxLifetime: time.Hour, Now: func() time.Time { return now }}))
	if _, err := jwt.ParseWithClaims(raw, &verified, func(*jwt.Token) (any, error) { return public, nil }); err != nil {
		t.Error(err)
	}
	grant.BackDate = 5 * time.Second
	if raw, err = token.Mint(hmac, grant); err != nil || !strings.Contains(payload(t, raw), `"nbf":`+strconv.FormatInt(at(-5), 10)) {
		t.Errorf("nbf is not back-dated: %s, %v", payload(t, raw), err)
	}
	for _, alg := range []string{"", "none", "RS256", "EdDSA", "hs256"} {
		if _, err := token.HMAC(alg, "", []byte("s")); err == nil {
			t.Errorf("%q is taken for an HMAC algorithm", alg)
		}
	}
}

func payload(t *testing.T, raw string) string {
	t.Helper()
	decoded, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(decoded)
}
