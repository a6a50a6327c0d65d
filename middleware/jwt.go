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

// From the header to the Principal. Guard.Handlers gives a route three handlers, called in this order:
//
//	oneAuthorization   more than one Authorization line is refused
//	contrib/jwt        its hooks, below
//	Guard.apiKey       the apiKey claim and the state of the key -> Principal (apikey.go)
//
// contrib/jwt v1.1.2 reads the header and calls the parser, golang-jwt. What the two leave open is closed in their hooks,
// here in the order in which they are called. Where one refuses, ErrorHandler is called next and nothing after it.
//
//  1. Filter = verifiedBefore. Called first, before the header is read. True skips the other hooks and calls apiKey.
//     True for a token in the token cache whose times hold and whose key has not changed.
//     It must not refuse, nor decide whether the key is in force: apiKey does that for every request.
//
//  2. TokenLookup = "header:Authorization". The value of the header, without a scheme cut off.
//     An AuthScheme, or no TokenLookup, would make the scheme Bearer compulsory.
//     A value shorter than two bytes is refused: ErrJWTMissingOrMalformed.
//
//  3. TokenProcessorFunc = processToken. Called with the value of the header.
//     It cuts the scheme off, checks length and form, and copies the token.
//     It must not return a part of the header: the next request overwrites those bytes.
//
//  4. Claims = token.Claims.UnmarshalJSON. Called when the parser has decoded the header of the token.
//     contrib/jwt makes a new value by reflection for each request, so Claims must be a pointer.
//     It reads strictly what anybody may have sent. It must be cheap, must not panic, and nothing read is believed yet.
//
//  5. KeyFunc = keyFor. Called when the claims are decoded. The parser verifies the signature with what it returns.
//     The kid chooses one key with one algorithm; crit and b64 are refused. It gives the claims their policy for hook 6.
//     It must not look at the claims, nor say more of a key than that it is unknown: the signature is not verified yet.
//     A key that is not in memory is read from the store here, without the context of the request.
//
//  6. Claims.Validate. Called when the signature is verified.
//     It applies the policy: times, audience, lifetime. What it refuses is known to come from the key.
//     The getters of jwt.Claims return nothing, so that the parser's own checks, without leeway, find nothing to judge.
//
//  7. SuccessHandler is left out: contrib/jwt stores the token under ContextKey = tokenKey and calls apiKey.
//
//  8. ErrorHandler = refuse. Called with the error of 2 to 6.
//     It turns the error into a fault. It must not answer the request: respond, in errors.go, does.

// tokenKey is where contrib/jwt leaves the verified token for apiKey. The library wants a string.
const tokenKey = "token"

// Guard turns tokens into Principals.
type Guard struct {
	keyring *keys.Keyring
	policy  *token.Policy
	cache   *tokenCache
}

// NewGuard makes a guard. cacheSize is how many verified tokens it remembers, 0 for none; its answers do not depend on
// that.
func NewGuard(keyring *keys.Keyring, policy *token.Policy, cacheSize int) *Guard {
	return &Guard{keyring: keyring, policy: policy, cache: newTokenCache(cacheSize)}
}

// Handlers are the handlers that make the Principal, in their order.
func (g *Guard) Handlers() []fiber.Handler {
	return []fiber.Handler{
		oneAuthorization,
		jwtware.New(jwtware.Config{
			Filter:             g.verifiedBefore,
			TokenLookup:        "header:" + fiber.HeaderAuthorization,
			TokenProcessorFunc: processToken,
			Claims:             &claims{},
			KeyFunc:            g.keyFor,
			ContextKey:         tokenKey,
			ErrorHandler:       refuse,
		}),
		g.apiKey,
	}
}

// Protect is everything that stands before the handler of a guarded route:
//
//  1. the guard
//  2. the scope, where the route needs one
//  3. the limit of the key
//  4. the token cache, which keeps the token of a request that passed all of that
func (g *Guard) Protect(scope keys.Scope) []fiber.Handler {
	chain := g.Handlers()
	if scope != "" {
		chain = append(chain, requireScope(scope))
	}
	return append(chain, rateLimit, g.cache.remember)
}

// Close stops the goroutines of the token cache.
func (g *Guard) Close() { g.cache.close() }

// oneAuthorization refuses a request with more than one Authorization line: which of them counts would be a guess.
func oneAuthorization(c *fiber.Ctx) error {
	if len(c.Request().Header.PeekAll(fiber.HeaderAuthorization)) > 1 {
		return fault.New(fault.AuthorizationRepeated)
	}
	return c.Next()
}

// verifiedBefore is the Filter. A token that is in the cache but does not hold any more goes through the parser, which
// finds out what is wrong with it.
func (g *Guard) verifiedBefore(c *fiber.Ctx) bool {
	found := g.cache.find(c)
	if found == nil || found.key.Stale() || !g.policy.InTime(found.times) {
		return false
	}
	r := requestOf(c.Context())
	r.token, r.key, r.cached = found, found.key, true
	return true
}

// processToken is the TokenProcessorFunc. It copies the token, because the parser keeps parts of it.
func processToken(header string) (string, error) {
	raw := bare(header)
	if err := token.CheckCompact(raw); err != nil {
		return "", err
	}
	return strings.Clone(raw), nil
}

// bare is the token in an Authorization header: behind the scheme Bearer in any case (RFC 9110, section 11.1), or all of
// it, as older clients send it.
func bare(header string) string {
	if scheme, rest, found := strings.Cut(header, " "); found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimLeft(rest, " ")
	}
	return header
}

// claims are the claims of a token, and the key that keyFor chose for it.
type claims struct {
	token.Claims

	key *keys.Key
}

// keyFor is the KeyFunc.
func (g *Guard) keyFor(t *jwt.Token) (any, error) {
	own, ok := t.Claims.(*claims)
	if !ok {
		return nil, fault.Wrap(fault.Internal, errors.New("the KeyFunc was called with claims of another type"))
	}
	// Both change what the signature covers (RFC 7515, section 4.1.11; RFC 7797).
	for _, name := range []string{"crit", "b64"} {
		if _, present := t.Header[name]; present {
			return nil, fault.New(fault.KeyNotAcceptable)
		}
	}
	key, err := g.find(t.Header)
	if err != nil {
		return nil, err
	}
	if t.Method.Alg() != key.Algorithm() {
		return nil, fault.New(fault.KeyNotAcceptable)
	}
	own.key = key
	own.Hold(g.policy)
	set := jwt.VerificationKeySet{}
	for _, verifying := range key.VerificationKeys() {
		set.Keys = append(set.Keys, verifying)
	}
	return set, nil
}

// find is the key that the kid names, the shared key without a kid.
func (g *Guard) find(header map[string]any) (*keys.Key, error) {
	kid, present := header["kid"]
	if !present {
		return g.keyring.Shared()
	}
	id, ok := kid.(string)
	if !ok {
		return nil, fault.New(fault.KeyNotAcceptable)
	}
	return g.keyring.Find(id)
}

// Validate applies the policy. The parser calls it when the signature is verified.
func (c *claims) Validate() error {
	if err := c.Claims.Validate(); err != nil {
		return &provenError{err, c.key}
	}
	return nil
}

// provenError is a refusal of a token whose signature the key verified.
type provenError struct {
	error

	key *keys.Key
}

func (e *provenError) Unwrap() error { return e.error }

// refuse is the ErrorHandler. contrib/jwt has one error for a missing header and for a header that is too short, so
// refuse looks at the header itself.
func refuse(c *fiber.Ctx, err error) error {
	if errors.Is(err, jwtware.ErrJWTMissingOrMalformed) {
		if strings.Trim(c.Get(fiber.HeaderAuthorization), " \t") == "" {
			return fault.New(fault.AuthorizationMissing)
		}
		return fault.Wrap(fault.TokenMalformed, err)
	}
	if proven, ok := errors.AsType[*provenError](err); ok {
		requestOf(c.Context()).key = proven.key
	}
	return token.Refusal(err)
}
