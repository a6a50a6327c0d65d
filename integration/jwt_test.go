package integration

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"maps"
	"regexp"
	"strings"
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

// freshSecrets are secrets that production accepts and that nothing else uses.
func freshSecrets() secrets {
	// Three texts of 26 characters: long enough for HS512, which asks for 64 bytes.
	master := make([]byte, 32)
	_, _ = rand.Read(master) // never fails
	return secrets{
		apiKey:    rand.Text(),
		secretKey: rand.Text() + rand.Text() + rand.Text(),
		audience:  "latchkey-api",
		masterKey: base64.StdEncoding.EncodeToString(master),
	}
}

// kid is the id that the credential's header names, "" for none.
func (c credential) kid() string {
	var header struct {
		Kid string `json:"kid"`
	}
	if err := json.Unmarshal([]byte(c.header), &header); err != nil {
		panic(err) // the headers here are JSON
	}
	return header.Kid
}

// headerWith is the credential's header with another kid, given as JSON.
func (c credential) headerWith(kid string) string {
	return "{" + algorithm.FindString(c.header) + `,"kid":` + kid + `,"typ":"JWT"}`
}

// algorithm finds the member alg in the text of a header.
var algorithm = regexp.MustCompile(`"alg":"[^"]*"`)
