package token

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Signing is a key to sign with.
type Signing struct {
	// KeyID is the kid of the header, "" for none.
	KeyID string

	method jwt.SigningMethod
	key    any
}

// HMAC signs with secret under alg: HS256, HS384 or HS512 (RFC 7518, section 3.2).
func HMAC(alg, keyID string, secret []byte) (Signing, error) {
	method, ok := jwt.GetSigningMethod(alg).(*jwt.SigningMethodHMAC)
	if !ok {
		return Signing{}, fmt.Errorf("%q is no HMAC algorithm", alg)
	}
	return Signing{KeyID: keyID, method: method, key: secret}, nil
}

// EdDSA signs with an Ed25519 key (RFC 8037, section 3.1).
func EdDSA(keyID string, key ed25519.PrivateKey) Signing {
	return Signing{KeyID: keyID, method: jwt.SigningMethodEdDSA, key: key}
}

// Grant is the content of a token to mint.
type Grant struct {
	// APIKey is the apiKey claim.
	APIKey string
	// Audience is the aud claim.
	Audience string
	// Scope is the scope claim; nil leaves it out.
	Scope *string
	// Now is the iat claim, and Now + TTL is the exp claim, both in whole seconds.
	Now time.Time
	TTL time.Duration
	// BackDate puts the nbf claim before Now, for a service whose clock is slow; 0 leaves nbf out.
	BackDate time.Duration
}

// Mint makes a signed token.
func Mint(s Signing, g Grant) (string, error) {
	claims := jwt.MapClaims{
		"apiKey": g.APIKey,
		"aud":    g.Audience,
		"iat":    g.Now.Unix(),
		"exp":    g.Now.Add(g.TTL).Unix(),
		"jti":    rand.Text(),
	}
	if g.Scope != nil {
		claims["scope"] = *g.Scope
	}
	if g.BackDate > 0 {
		claims["nbf"] = g.Now.Add(-g.BackDate).Unix()
	}
	t := jwt.NewWithClaims(s.method, claims)
	if s.KeyID != "" {
		t.Header["kid"] = s.KeyID
	}
	return t.SignedString(s.key)
}
