package middleware

import (
	"errors"
	"strings"

	jwtware "github.com/gofiber/contrib/jwt"
	"github.com/gofiber/fiber/v2"
	"github.com/golang-jwt/jwt/v5"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/token"
)

// tokenKey is where contrib/jwt leaves the verified token for apiKey.
const tokenKey = "token"

// claims are the token's claims together with the key that verified them. contrib/jwt makes one for each request.
type claims struct {
	token.Claims

	key *keys.Key
}

// Guard is the handlers that turn a token into a Principal, in the order in which they stand before a route's own.
//
// contrib/jwt carries the token through the parser. What it leaves open is closed in its own hooks: processToken (the
// form of the token), keyFor (one key, one algorithm, the policy) and refuse (the texts). Its Claims must be a pointer:
// it makes a fresh value for each request by reflection.
func Guard(keyring *keys.Keyring, policy *token.Policy) []fiber.Handler {
	return []fiber.Handler{
		oneAuthorization,
		jwtware.New(jwtware.Config{
			// Given explicitly, TokenLookup leaves AuthScheme empty: the scheme is processToken's work.
			TokenLookup:        "header:" + fiber.HeaderAuthorization,
			TokenProcessorFunc: processToken,
			KeyFunc:            keyFor(keyring, policy),
			Claims:             &claims{},
			ContextKey:         tokenKey,
			ErrorHandler:       refuse,
		}),
		apiKey,
	}
}

// oneAuthorization refuses a request with more than one Authorization line: which of them counts would be a guess.
func oneAuthorization(c *fiber.Ctx) error {
	if len(c.Request().Header.PeekAll(fiber.HeaderAuthorization)) > 1 {
		return fault.New(fault.AuthorizationRepeated)
	}
	return c.Next()
}

// processToken takes the token out of the header: with the scheme Bearer in any case (RFC 9110, section 11.1), or bare,
// as older clients send it. The copy is needed: the header's bytes belong to the next request once this one is
// answered, and the parsed token keeps parts of the string.
func processToken(header string) (string, error) {
	raw := header
	if scheme, rest, found := strings.Cut(header, " "); found && strings.EqualFold(scheme, "Bearer") {
		raw = strings.TrimLeft(rest, " ")
	}
	if err := token.CheckCompact(raw); err != nil {
		return "", err
	}
	return strings.Clone(raw), nil
}

// keyFor chooses the key that must verify a token, and holds the token's claims against policy.
func keyFor(keyring *keys.Keyring, policy *token.Policy) jwt.Keyfunc {
	return func(t *jwt.Token) (any, error) {
		held, ok := t.Claims.(*claims)
		if !ok {
			return nil, fault.Wrap(fault.Internal, errors.New("foreign claims"))
		}
		// crit and b64 change what the signature covers (RFC 7515, section 4.1.11; RFC 7797), kid names a key.
		for _, name := range []string{"crit", "b64", "kid"} {
			if _, present := t.Header[name]; present {
				return nil, fault.New(fault.KeyNotAcceptable)
			}
		}
		key, err := keyring.Shared()
		if err != nil {
			return nil, err
		}
		if t.Method.Alg() != key.Algorithm() {
			return nil, fault.New(fault.KeyNotAcceptable)
		}
		held.key = key
		held.Hold(policy)
		set := jwt.VerificationKeySet{}
		for _, secret := range key.VerificationSecrets() {
			set.Keys = append(set.Keys, secret)
		}
		return set, nil
	}
}

// refuse gives the failures of contrib/jwt and the parser their codes. contrib/jwt has one error for a header that is
// missing and one too short to hold a token, so the header itself decides.
func refuse(c *fiber.Ctx, err error) error {
	if errors.Is(err, jwtware.ErrJWTMissingOrMalformed) {
		if strings.Trim(c.Get(fiber.HeaderAuthorization), " \t") == "" {
			return fault.New(fault.AuthorizationMissing)
		}
		return fault.Wrap(fault.TokenMalformed, err)
	}
	return token.Refusal(err)
}
