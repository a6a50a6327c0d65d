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

// tokenCache keeps tokens that were verified and accepted, by their SHA-256, so that they are not parsed and verified
// again. It decides nothing that can change: every hit checks the times, the state of the key, the scopes and the limit.
//
// An entry points to the keys.Key that verified the token. When the key changes, that object becomes stale, and a hit on
// a stale key is a miss. So an entry that is written while its key is being revoked does no harm.
//
// A nil cache keeps nothing.
type tokenCache struct {
	tokens *otter.Cache[[sha256.Size]byte, *verified]
}

// verified is what a request needs of a verified token. The cache counts entries, not bytes, so an entry must have no part
// whose size a caller can choose.
type verified struct {
	key    *keys.Key
	times  token.Times
	scopes keys.Scopes // the scope claim
	narrow bool        // there is a scope claim
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

// remember is the last handler before the handler of a route: only an accepted request gets there, so refused tokens take
// no room. A token that has expired, within the leeway, is not kept.
func (t *tokenCache) remember(c *fiber.Ctx) error {
	r := requestOf(c.Context())
	if t != nil && r.token != nil && !r.cached && time.Now().Before(r.token.times.ExpiresAt()) {
		t.tokens.Set(digest(c), r.token)
	}
	return c.Next()
}

// find is the entry of the request's token, nil without one.
func (t *tokenCache) find(c *fiber.Ctx) *verified {
	if t == nil {
		return nil
	}
	if len(c.Get(fiber.HeaderAuthorization)) > 2*token.MaxLength {
		return nil // refusing it costs less than its SHA-256
	}
	found, _ := t.tokens.GetIfPresent(digest(c))
	return found
}

// digest is the SHA-256 of the request's token. The bytes belong to the header, and are only read.
func digest(c *fiber.Ctx) [sha256.Size]byte {
	return sha256.Sum256(utils.UnsafeBytes(bare(c.Get(fiber.HeaderAuthorization))))
}
