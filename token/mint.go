package token

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Grant is what a minted token says.
type Grant struct {
	// APIKey is the apiKey claim.
	APIKey string
	// Audience is the aud claim.
	Audience string
	// Scope is the scope claim, left out where nil.
	Scope *string
	// Now is the iat claim; exp is Now + TTL. Both are cut to whole seconds.
	Now time.Time
	TTL time.Duration
}

// MintHMAC makes a token signed with secret under alg (HS256, HS384 or HS512; RFC 7518, section 3.2).
func MintHMAC(alg string, secret []byte, g Grant) (string, error) {
	method, ok := jwt.GetSigningMethod(alg).(*jwt.SigningMethodHMAC)
	if !ok {
		return "", fmt.Errorf("%q is no HMAC algorithm", alg)
	}
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
	return jwt.NewWithClaims(method, claims).SignedString(secret)
}
