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

// Validate is called when the signature is verified. What it refuses then is known to come from the key.
func (c *claims) Validate() error {
	if err := c.Claims.Validate(); err != nil {
		return &provenError{err, c.key}
	}
	return nil
}

// provenError is a refusal of a token whose signature verified.
type provenError struct {
	error

	key *keys.Key
}

func (e *provenError) Unwrap() error { return e.error }

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

// Handlers are what stands before a guarded route's own handler, in this order.
//
// contrib/jwt carries the token through the parser. What it leaves open is closed in its own hooks: known (tokens that
// were verified before), processToken (the form of the token), keyFor (one key, one algorithm, the policy) and refuse
// (the texts). Its Claims must be a pointer: it makes a fresh value for each request by reflection.
func (g *Guard) Handlers() []fiber.Handler {
	return []fiber.Handler{
		oneAuthorization,
		jwtware.New(jwtware.Config{
			Filter: g.known,
			// Given explicitly, TokenLookup leaves AuthScheme empty: the scheme is processToken's work.
			TokenLookup:        "header:" + fiber.HeaderAuthorization,
			TokenProcessorFunc: processToken,
			KeyFunc:            g.keyFor,
			Claims:             &claims{},
			ContextKey:         tokenKey,
			ErrorHandler:       refuse,
		}),
		g.apiKey,
	}
}

// Protect is everything that stands before the handler of a guarded route: the guard, the scope where the route needs one,
// the key's limit, and, once the request is accepted, the cache of its token.
func (g *Guard) Protect(scope keys.Scope) []fiber.Handler {
	chain := g.Handlers()
	if scope != "" {
		chain = append(chain, requireScope(scope))
	}
	return append(chain, rateLimit, g.cache.remember)
}

// Close releases what the guard holds.
func (g *Guard) Close() { g.cache.close() }

// oneAuthorization refuses a request with more than one Authorization line: which of them counts would be a guess.
func oneAuthorization(c *fiber.Ctx) error {
	if len(c.Request().Header.PeekAll(fiber.HeaderAuthorization)) > 1 {
		return fault.New(fault.AuthorizationRepeated)
	}
	return c.Next()
}

// known is contrib/jwt's filter: it skips the parser for a token that was verified before, whose times still hold, and
// whose key has not changed. Anything else goes the whole way, which finds out what is wrong.
func (g *Guard) known(c *fiber.Ctx) bool {
	held := g.cache.find(c)
	if held == nil || held.key.Stale() || !g.policy.InTime(held.times) {
		return false
	}
	r := requestOf(c.Context())
	r.token, r.key, r.cached = held, held.key, true
	return true
}

// bare is the token in an Authorization header: behind the scheme Bearer in any case (RFC 9110, section 11.1), or all of
// it, as older clients send it.
func bare(header string) string {
	if scheme, rest, found := strings.Cut(header, " "); found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimLeft(rest, " ")
	}
	return header
}

// processToken takes the token out of the header and checks its form. The copy is needed: the header's bytes belong to
// the next request once this one is answered, and the parsed token keeps parts of the string.
func processToken(header string) (string, error) {
	raw := bare(header)
	if err := token.CheckCompact(raw); err != nil {
		return "", err
	}
	return strings.Clone(raw), nil
}

// keyFor chooses the key that must verify a token, and holds the token's claims against the policy.
func (g *Guard) keyFor(t *jwt.Token) (any, error) {
	held, ok := t.Claims.(*claims)
	if !ok {
		return nil, fault.Wrap(fault.Internal, errors.New("foreign claims"))
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
	held.key = key
	held.Hold(g.policy)
	set := jwt.VerificationKeySet{}
	for _, verifying := range key.VerificationKeys() {
		set.Keys = append(set.Keys, verifying)
	}
	return set, nil
}

// find is the key that a token's header names: the shared one where it names none.
func (g *Guard) find(header map[string]any) (*keys.Key, error) {
	named, present := header["kid"]
	if !present {
		return g.keyring.Shared()
	}
	id, ok := named.(string)
	if !ok {
		return nil, fault.New(fault.KeyNotAcceptable)
	}
	return g.keyring.Find(id)
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
	if proven, ok := errors.AsType[*provenError](err); ok {
		requestOf(c.Context()).key = proven.key
	}
	return token.Refusal(err)
}
