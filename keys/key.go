package keys

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"sync/atomic"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// SharedID is the name of the shared key, which has no id of its own.
const SharedID = "shared"

// SharedKey is the key of the settings, which callers may share: an HMAC secret that signs tokens, and an API key that they
// claim.
type SharedKey struct {
	// Algorithm is HS256, HS384 or HS512 (RFC 7518, section 3.2).
	Algorithm string
	// APIKey is what the apiKey claim must equal.
	APIKey string
	// Secret signs and verifies. PreviousSecret, unless empty, only verifies: tokens of the old secret stay valid while
	// clients change to the new one.
	Secret, PreviousSecret []byte
}

// Key is one state of a key, ready to verify tokens. It is immutable but for stale: a change of the key makes a new Key, and
// the old one stale. A Key that is not stale is the newest state that this process knows.
type Key struct {
	id, client string
	algorithm  string
	verifying  []any
	// claim is a digest of the apiKey claim: comparing digests takes the same time for claims of every length.
	claim  [sha256.Size]byte
	scopes Scopes

	// The rest is set for registered keys only.
	record  Record
	problem error // why the key cannot be used by this process
	stale   atomic.Bool
	// limit and usedMinute belong to all states of the key.
	limit      *limit
	usedMinute *atomic.Int64
}

func newSharedKey(shared SharedKey) *Key {
	if shared.APIKey == "" || len(shared.Secret) == 0 {
		return nil
	}
	key := &Key{
		id:        SharedID,
		client:    SharedID,
		algorithm: shared.Algorithm,
		claim:     sha256.Sum256([]byte(shared.APIKey)),
		scopes:    EveryScope().Without(KeysAdmin),
		verifying: []any{shared.Secret},
	}
	if len(shared.PreviousSecret) > 0 {
		key.verifying = append(key.verifying, shared.PreviousSecret)
	}
	return key
}

// newKey makes a Key of a record. before is the cached state, nil for none. The caller holds mu.
func (k *Keyring) newKey(record Record, before *Key) *Key {
	key := &Key{
		id:         record.ID,
		client:     record.Client,
		claim:      sha256.Sum256([]byte(record.ID)),
		scopes:     ScopesOf(record.Scopes...),
		record:     record,
		usedMinute: new(atomic.Int64),
	}
	key.record.Scopes = nil // scopes has them, in less memory
	var limitBefore *limit
	if before != nil {
		key.usedMinute, limitBefore = before.usedMinute, before.limit
	}
	if key.limit = newLimit(&record, limitBefore, &k.limits); key.limit != nil {
		key.limit.setShare(k.share(key.id), k.fleetSize)
	}
	unsupported := record.supported()
	if unsupported != nil && record.State != Revoked { // every version understands a revoked key
		key.problem = unsupported
		return key
	}
	switch record.Kind {
	case keystring.Ed25519:
		key.algorithm = "EdDSA"
		key.verifying = []any{ed25519.PublicKey(record.Material)}
		if len(record.Material) != ed25519.PublicKeySize {
			key.problem = fault.Wrap(fault.Internal, errors.New("the public key of "+record.ID+" is damaged"))
		}
	case keystring.HS256:
		key.algorithm = "HS256"
		text, err := k.sealer.Open(record.ID, record.Kind, record.Material)
		if err != nil {
			key.problem = fault.Wrap(fault.Unavailable, err)
		}
		key.verifying = []any{text}
	default:
		key.problem = cmp.Or[error](unsupported, fault.Wrap(fault.Internal, errors.New("the kind of "+record.ID+" is unknown")))
	}
	return key
}

// Algorithm is the only JWS algorithm of this key's tokens.
func (k *Key) Algorithm() string { return k.algorithm }

// VerificationKeys are the keys of which one must verify a token: HMAC secrets ([]byte), the current one first, or an
// ed25519.PublicKey. The caller must not change them.
func (k *Key) VerificationKeys() []any { return k.verifying }

// ID is the id of the key, SharedID for the shared one.
func (k *Key) ID() string { return k.id }

// Stale reports whether the key has changed since. Then whatever was derived from it must be derived again.
func (k *Key) Stale() bool { return k.stale.Load() }

func (k *Key) registered() bool { return k.id != SharedID }

// Claims reports whether an apiKey claim is that of this key. It compares in constant time.
func (k *Key) Claims(claimed string) bool {
	digest := sha256.Sum256([]byte(claimed))
	return subtle.ConstantTimeCompare(digest[:], k.claim[:]) == 1
}
