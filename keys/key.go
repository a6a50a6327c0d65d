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

// SharedKey is the one key that every caller may share: an HMAC secret that signs, and an API key that is claimed.
type SharedKey struct {
	// Algorithm is HS256, HS384 or HS512 (RFC 7518, section 3.2).
	Algorithm string
	// APIKey is what the apiKey claim must equal.
	APIKey string
	// Secret verifies and signs; PreviousSecret, unless empty, only verifies, so that the secret can be changed
	// while tokens of the old one are still about.
	Secret, PreviousSecret []byte
}

// Key is one key as far as verifying needs it. It does not change: a change of the key makes a new one, and the old one
// stale. So whoever holds a Key that is not stale holds the newest state that this process knows.
type Key struct {
	id, client string
	algorithm  string
	verifying  []any
	// claim is a digest, so that comparing takes the same time whatever the claim's length.
	claim  [sha256.Size]byte
	scopes Scopes

	// The rest is for registered keys only.
	record  Record
	problem error // why the key cannot be used by this process
	stale   atomic.Bool
	// shared with the key's earlier and later states
	limit  *limit
	minute *atomic.Int64
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

// newKey makes what a record says ready for use; before is the key's state until now, nil for none. The caller has the
// lock.
func (k *Keyring) newKey(record Record, before *Key) *Key {
	key := &Key{
		id:     record.ID,
		client: record.Client,
		claim:  sha256.Sum256([]byte(record.ID)),
		scopes: ScopesOf(record.Scopes...),
		record: record,
		minute: new(atomic.Int64),
	}
	key.record.Scopes = nil // the set says it, in less room
	var limited *limit
	if before != nil {
		key.minute, limited = before.minute, before.limit
	}
	if key.limit = newLimit(&record, limited, &k.limits); key.limit != nil {
		key.limit.set(k.part(key.id), k.instances)
	}
	newer := record.served()
	if newer != nil && record.State != Revoked { // which every version understands
		key.problem = newer
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
		key.problem = cmp.Or[error](newer, fault.Wrap(fault.Internal, errors.New("the kind of "+record.ID+" is unknown")))
	}
	return key
}

// Algorithm is the one JWS algorithm that this key's tokens are signed with.
func (k *Key) Algorithm() string { return k.algorithm }

// VerificationKeys are the keys of which one must verify a token: HMAC secrets ([]byte), the current one first, or an
// ed25519.PublicKey. They are not to be changed.
func (k *Key) VerificationKeys() []any { return k.verifying }

// ID is the id of the key, SharedID for the shared one.
func (k *Key) ID() string { return k.id }

// Stale says that the key has changed since: what was concluded from it must be concluded anew.
func (k *Key) Stale() bool { return k.stale.Load() }

func (k *Key) registered() bool { return k.id != SharedID }

// Claims says whether an apiKey claim is the one that belongs to this key. It compares in constant time.
func (k *Key) Claims(claimed string) bool {
	digest := sha256.Sum256([]byte(claimed))
	return subtle.ConstantTimeCompare(digest[:], k.claim[:]) == 1
}
