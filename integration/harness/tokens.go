package harness

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

// HeaderHS256 is what every JWT library writes for an HMAC-SHA256 token.
const HeaderHS256 = `{"alg":"HS256","typ":"JWT"}`

// Credential mints the tokens of one key.
type Credential struct {
	APIKey   string // the apiKey claim of its tokens
	Audience string
	Header   string // of its tokens
	// Signature signs the first two segments of a token.
	Signature func(input string) string
}

// Secrets are the secrets of a service. A developer who uses the shared key has the first three.
type Secrets struct {
	APIKey    string
	SecretKey string
	Audience  string
	MasterKey string // "" for a deployment
}

// Shared is the shared key.
func (s Secrets) Shared() Credential {
	return Credential{APIKey: s.APIKey, Audience: s.Audience, Header: HeaderHS256, Signature: func(input string) string {
		return MAC(sha256.New, input, s.SecretKey)
	}}
}

// Claims is a token's payload.
type Claims map[string]any

// Good are the claims of a token that is accepted, valid for five minutes.
func (c Credential) Good() Claims {
	now := time.Now().Unix()
	return Claims{"apiKey": c.APIKey, "aud": c.Audience, "iat": now, "exp": now + 300}
}

// Sign is a token with exactly this header and payload.
func (c Credential) Sign(header, payload string) string {
	input := Segment(header) + "." + Segment(payload)
	return input + "." + Segment(c.Signature(input))
}

// JWT is p as a token.
func (c Credential) JWT(p Claims) string { return c.Sign(c.Header, p.JSON()) }

// Token is an accepted token with all scopes of the key.
func (c Credential) Token() string { return c.JWT(c.Good()) }

// Scoped is an accepted token with this scope claim.
func (c Credential) Scoped(scope string) string { return c.JWT(c.Good().With("scope", scope)) }

// Forged is p as a token with a wrong signature of the right length.
func (c Credential) Forged(p Claims) string {
	input := Segment(c.Header) + "." + Segment(p.JSON())
	return input + "." + Segment(c.Signature(input+"x"))
}

// Good are the claims of an accepted token of the shared key.
func (s Secrets) Good() Claims { return s.Shared().Good() }

// JWT is p as a token of the shared key.
func (s Secrets) JWT(p Claims) string { return s.Shared().JWT(p) }

// Token is an accepted token of the shared key.
func (s Secrets) Token() string { return s.Shared().Token() }

// Scoped is a token of the shared key whose scope claim narrows it.
func (s Secrets) Scoped(scope string) string { return s.Shared().Scoped(scope) }

// With is a copy of c in which name has the given value.
func (c Claims) With(name string, value any) Claims {
	changed := maps.Clone(c)
	changed[name] = value
	return changed
}

// Without is a copy of c that lacks the named claims.
func (c Claims) Without(names ...string) Claims {
	changed := maps.Clone(c)
	for _, name := range names {
		delete(changed, name)
	}
	return changed
}

// JSON is the payload's text.
func (c Claims) JSON() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // the tests put only JSON values into claims
	}
	return string(text)
}

// SignHS256 is the token with exactly this header and payload, HMAC-SHA256 under secret.
func SignHS256(header, payload, secret string) string {
	return SignHMAC(sha256.New, header, payload, secret)
}

// SignHMAC is SignHS256 with another hash.
func SignHMAC(hash func() hash.Hash, header, payload, secret string) string {
	input := Segment(header) + "." + Segment(payload)
	return input + "." + Segment(MAC(hash, input, secret))
}

// MAC is the HMAC of input.
func MAC(hash func() hash.Hash, input, secret string) string {
	m := hmac.New(hash, []byte(secret))
	m.Write([]byte(input))
	return string(m.Sum(nil))
}

// Segment is text in base64url.
func Segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// NonCanonical sets an unused bit in the last character of token: a lax decoder reads the same bytes.
func NonCanonical(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

// FreshSecrets are new secrets that production accepts.
func FreshSecrets() Secrets {
	// 78 characters: HS512 needs 64 bytes.
	master := make([]byte, 32)
	_, _ = rand.Read(master) // never fails
	return Secrets{
		APIKey:    rand.Text(),
		SecretKey: rand.Text() + rand.Text() + rand.Text(),
		Audience:  "latchkey-api",
		MasterKey: base64.StdEncoding.EncodeToString(master),
	}
}

// KeyID is the kid of the credential's header, "" for none.
func (c Credential) KeyID() string {
	var header struct {
		Kid string `json:"kid"`
	}
	if err := json.Unmarshal([]byte(c.Header), &header); err != nil {
		panic(err) // the headers here are JSON
	}
	return header.Kid
}

// HeaderWithKeyID is the credential's header with another kid, given as JSON.
func (c Credential) HeaderWithKeyID(kid string) string {
	return "{" + AlgMember.FindString(c.Header) + `,"kid":` + kid + `,"typ":"JWT"}`
}

// AlgMember finds "alg": ... in the text of a header.
var AlgMember = regexp.MustCompile(`"alg":"[^"]*"`)
