package middleware

import (
	"crypto/sha256"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/maypok86/otter/v2"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/token"
)

// tokenCache remembers tokens that were fully verified and accepted, by their SHA-256, so that they need not be parsed and
// verified again. It decides nothing that can change: the times, the key's state, the scopes and the limit are looked at
// on every hit. An entry points at the key object that verified it, which becomes stale when the key changes, and a hit on
// a stale one is a miss. So it does not matter when an entry is filled: one that is filled with an old key while the key
// is being revoked is of no use. A nil cache remembers nothing.
type tokenCache struct {
	tokens *otter.Cache[[sha256.Size]byte, *verified]
}

// verified is what a request needs of a token whose signature and claims were proven. The cache counts entries, so nothing
// of it may have a size that the caller chooses.
type verified struct {
	key    *keys.Key
	times  token.Times
	scopes keys.Scopes // those that the token names, where it narrows
	narrow bool
}

func newTokenCache(size int) *tokenCache {
	if size <= 0 {
		return nil
	}
	return &tokenCache{tokens: otter.Must(&otter.Options[[sha256.Size]byte, *verified]{
		MaximumSize: size,
		ExpiryCalculator: otter.ExpiryCreatingFunc(func(e otter.Entry[[sha256.Size]byte, *verified]) time.Duration {
			return time.Until(e.Value.times.ExpiresAt())
		}),
	})}
}

func (t *tokenCache) close() {
	if t != nil {
		t.tokens.StopAllGoroutines()
	}
}

// remember is the last step before a route's own handler: only a token of a request that passed everything is kept, so
// that what is refused fills nothing. A token past its exp, which the leeway still lets through, is not kept.
func (t *tokenCache) remember(c *fiber.Ctx) error {
	r := requestOf(c.Context())
	if t != nil && r.token != nil && !r.cached && time.Now().Before(r.token.times.ExpiresAt()) {
		t.tokens.Set(digest(c), r.token)
	}
	return c.Next()
}

func (t *tokenCache) find(c *fiber.Ctx) *verified {
	if t == nil {
		return nil
	}
	if len(c.Get(fiber.HeaderAuthorization)) > 2*token.MaxLength {
		return nil // not worth a digest
	}
	held, _ := t.tokens.GetIfPresent(digest(c))
	return held
}

// digest is the SHA-256 of the request's token. The bytes are the header's own: they are only read.
func digest(c *fiber.Ctx) [sha256.Size]byte {
	return sha256.Sum256(utils.UnsafeBytes(bare(c.Get(fiber.HeaderAuthorization))))
}
