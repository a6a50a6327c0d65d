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

// credential makes the tokens of one key.
type credential struct {
	apiKey   string // what its tokens claim to be of
	audience string
	header   string // of its tokens
	// signature is what the key makes of a token's first two segments.
	signature func(input string) string
}

// secrets is what a caller's developer is given who uses the shared key.
type secrets struct {
	apiKey    string
	secretKey string
	audience  string
	masterKey string // "" where the suite did not choose it
}

// shared is the shared key.
func (s secrets) shared() credential {
	return credential{apiKey: s.apiKey, audience: s.audience, header: headerHS256, signature: func(input string) string {
		return mac(sha256.New, input, s.secretKey)
	}}
}

// claims is a token's payload.
type claims map[string]any

// good are the claims of a token that is accepted, valid for five minutes.
func (c credential) good() claims {
	now := time.Now().Unix()
	return claims{"apiKey": c.apiKey, "aud": c.audience, "iat": now, "exp": now + 300}
}

// sign is the token with exactly this header and payload.
func (c credential) sign(header, payload string) string {
	input := segment(header) + "." + segment(payload)
	return input + "." + segment(c.signature(input))
}

// jwt is p as a token.
func (c credential) jwt(p claims) string { return c.sign(c.header, p.json()) }

// token is a token that is accepted and may do all that the key may.
func (c credential) token() string { return c.jwt(c.good()) }

// scoped is an accepted token whose scope claim narrows it to scope.
func (c credential) scoped(scope string) string { return c.jwt(c.good().with("scope", scope)) }

// forged is p as a token that somebody signed who does not have the key.
func (c credential) forged(p claims) string {
	input := segment(c.header) + "." + segment(p.json())
	return input + "." + segment(c.signature(input+"x"))
}

// good, jwt, token and scoped are those of the shared key.
func (s secrets) good() claims               { return s.shared().good() }
func (s secrets) jwt(p claims) string        { return s.shared().jwt(p) }
func (s secrets) token() string              { return s.shared().token() }
func (s secrets) scoped(scope string) string { return s.shared().scoped(scope) }

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

// signed is the token with exactly this header and payload, HMAC-SHA256 under secret.
func signed(header, payload, secret string) string {
	return signedWith(sha256.New, header, payload, secret)
}

// signedWith is signed with another hash.
func signedWith(hash func() hash.Hash, header, payload, secret string) string {
	input := segment(header) + "." + segment(payload)
	return input + "." + segment(mac(hash, input, secret))
}

// mac is the HMAC of input.
func mac(hash func() hash.Hash, input, secret string) string {
	m := hmac.New(hash, []byte(secret))
	m.Write([]byte(input))
	return string(m.Sum(nil))
}

// segment is text as one part of a token.
func segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

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
