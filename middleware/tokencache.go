package middleware

import (
	"crypto/sha256"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/maypok86/otter/v2"

	"github.com/latchkey-api/latchkey/token"
)

// tokenCache remembers tokens that were fully verified, by their SHA-256, so that they need not be parsed and verified
// again. It decides nothing that can change: the times, the key's state, the scopes and the limit are looked at on every
// hit. An entry points at the key object that verified it, which becomes stale when the key changes, and a hit on a
// stale one is a miss. So it does not matter when an entry is filled: one that is filled with an old key while the key
// is being revoked is of no use. A nil cache remembers nothing.
type tokenCache struct {
	tokens *otter.Cache[[sha256.Size]byte, *claims]
}

// knownKey is the key under which known leaves the claims of a token that was verified before.
type knownKey struct{}

func newTokenCache(size int) *tokenCache {
	if size <= 0 {
		return nil
	}
	return &tokenCache{tokens: otter.Must(&otter.Options[[sha256.Size]byte, *claims]{
		MaximumSize: size,
		ExpiryCalculator: otter.ExpiryCreatingFunc(func(e otter.Entry[[sha256.Size]byte, *claims]) time.Duration {
			return time.Until(e.Value.ExpiresAt())
		}),
	})}
}

func (t *tokenCache) close() {
	if t != nil {
		t.tokens.StopAllGoroutines()
	}
}

// remember keeps the claims of the request's token. A token past its exp, which the leeway still lets through, is not
// kept.
func (t *tokenCache) remember(c *fiber.Ctx, held *claims) {
	if t != nil && time.Now().Before(held.ExpiresAt()) {
		held.Issuer, held.Subject, held.ID = "", "", "" // nobody reads them, and a caller chooses how long they are
		t.tokens.Set(digest(c), held)
	}
}

func (t *tokenCache) find(c *fiber.Ctx) *claims {
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

// known is contrib/jwt's filter: it skips the parser for a token that was verified before, whose times still hold, and
// whose key has not changed. Anything else goes the whole way, which finds out what is wrong.
func (g *Guard) known(c *fiber.Ctx) bool {
	held := g.cache.find(c)
	if held == nil || held.key.Stale() || !held.InTime() {
		return false
	}
	c.Locals(knownKey{}, held)
	return true
}
