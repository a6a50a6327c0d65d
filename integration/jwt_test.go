package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"maps"
	"strings"
	"testing"
	"time"
)

// headerHS256 is what every JWT library writes for an HMAC-SHA256 token.
const headerHS256 = `{"alg":"HS256","typ":"JWT"}`

// secrets is what a caller's developer is given.
type secrets struct {
	apiKey    string
	secretKey string
	audience  string
}

// claims is a token's payload.
type claims map[string]any

// good are the claims of a token that is accepted, valid for five minutes.
func (s secrets) good() claims {
	now := time.Now().Unix()
	return claims{"apiKey": s.apiKey, "aud": s.audience, "iat": now, "exp": now + 300}
}

// with is a copy of c in which name has the given value.
func (c claims) with(name string, value any) claims {
	changed := maps.Clone(c)
	changed[name] = value
	return changed
}

// without is a copy of c that lacks the named claims.
func (c claims) without(names ...string) claims {
	changed := maps.Clone(c)
	for _, name := range names {
		delete(changed, name)
	}
	return changed
}

// json is the payload's text.
func (c claims) json() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // the tests put only JSON values into claims
	}
	return string(text)
}

// jwt is c as a token, HMAC-SHA256 under the secret of s.
func (s secrets) jwt(c claims) string { return signed(headerHS256, c.json(), s.secretKey) }

// token is a token that is accepted and has every scope of the shared key.
func (s secrets) token() string { return s.jwt(s.good()) }

// scoped is an accepted token whose scope claim narrows it to scope.
func (s secrets) scoped(scope string) string { return s.jwt(s.good().with("scope", scope)) }

// signed is the token with exactly this header and payload, HMAC-SHA256 under secret.
func signed(header, payload, secret string) string {
	return signedWith(sha256.New, header, payload, secret)
}

// signedWith is signed with another hash.
func signedWith(hash func() hash.Hash, header, payload, secret string) string {
	input := segment(header) + "." + segment(payload)
	mac := hmac.New(hash, []byte(secret))
	mac.Write([]byte(input))
	return input + "." + segment(string(mac.Sum(nil)))
}

// segment is text as one part of a token.
func segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// resigned replaces the signature of token by the right one for its first two segments, whatever they are.
func resigned(token, secret string) string {
	input := token[:strings.LastIndexByte(token, '.')]
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(input))
	return input + "." + segment(string(mac.Sum(nil)))
}

// nonCanonical is token with one unused bit of its last character set: a lax decoder reads the same bytes.
func nonCanonical(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

func TestSignedMatchesTheExampleOfRFC7515(t *testing.T) {
	// Appendix A.1: header, payload and key of the RFC give the token of the RFC.
	key, err := base64.RawURLEncoding.DecodeString(
		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	got := signed("{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}",
		"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}", string(key))
	const want = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if lax := nonCanonical(got); lax == got {
		t.Error("nonCanonical changed nothing")
	}
}
