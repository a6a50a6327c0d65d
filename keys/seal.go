package keys

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/latchkey-api/latchkey/keys/keystring"
)

// Sealer seals the key strings of hs256 keys with AES-256-GCM, so that the store alone signs nothing. A nil Sealer is
// one without a master key: it seals and opens nothing, and says so.
type Sealer struct {
	current  cipher.AEAD
	previous cipher.AEAD // nil for none
}

// NewSealer takes the master keys, 32 bytes each. The previous one, which may be nil, only opens. Without a current one
// the Sealer is nil.
func NewSealer(current, previous []byte) (*Sealer, error) {
	if len(current) == 0 {
		return nil, nil //nolint:nilnil // a nil Sealer is one without a master key
	}
	s := new(Sealer)
	var err error
	if s.current, err = newAEAD(current); err != nil {
		return nil, fmt.Errorf("MASTER_KEY: %w", err)
	}
	if len(previous) > 0 {
		if s.previous, err = newAEAD(previous); err != nil {
			return nil, fmt.Errorf("MASTER_KEY_PREVIOUS: %w", err)
		}
	}
	return s, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != 32 {
		return nil, errors.New("a master key has 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

var (
	errNoMasterKey    = errors.New("hs256 keys need MASTER_KEY, which is not set")
	errWrongMasterKey = errors.New("MASTER_KEY does not open this hs256 key: it was sealed under another one, or damaged")
)

// Seal returns nonce and ciphertext. The id and the kind are bound to it: a sealed key moved to another row does not
// open.
func (s *Sealer) Seal(id string, kind keystring.Kind, text []byte) ([]byte, error) {
	if s == nil {
		return nil, errNoMasterKey
	}
	nonce := make([]byte, s.current.NonceSize())
	_, _ = rand.Read(nonce) // never fails: it ends the process instead
	return s.current.Seal(nonce, nonce, text, bound(id, kind)), nil
}

// Open returns what was sealed under the current or the previous master key.
func (s *Sealer) Open(id string, kind keystring.Kind, sealed []byte) ([]byte, error) {
	if s == nil {
		return nil, errNoMasterKey
	}
	for _, aead := range []cipher.AEAD{s.current, s.previous} {
		if aead == nil || len(sealed) < aead.NonceSize() {
			continue
		}
		nonce, text := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
		if opened, err := aead.Open(nil, nonce, text, bound(id, kind)); err == nil {
			return opened, nil
		}
	}
	return nil, fmt.Errorf("%w (%s)", errWrongMasterKey, id)
}

func bound(id string, kind keystring.Kind) []byte { return []byte(id + "|" + string(kind)) }

const (
	// sealedTried is how many sealed keys a master key is tried on before it seals another one.
	sealedTried = 5
	// sealedCounted bounds how many sealed keys are opened to see which of them cannot be, so that a start does not
	// get longer with the store.
	sealedCounted = 10_000
)

// canSeal says why hs256 keys cannot be made here: errNoMasterKey, or errWrongMasterKey where it is not the one that
// those in the store are sealed under, so that no other process could open a new one. Revoked keys do not count: whoever
// has lost the master key revokes what was sealed under it, and begins anew. Other errors are the store's.
func (k *Keyring) canSeal(ctx context.Context) error {
	if k.sealer == nil {
		return errNoMasterKey
	}
	newest, err := k.store.SealedInUse(ctx, sealedTried)
	if err != nil {
		return err
	}
	var wrong error
	for _, record := range newest { // a single one may be damaged
		if record.served() != nil {
			continue
		}
		if _, wrong = k.sealer.Open(record.ID, record.Kind, record.Material); wrong == nil {
			return nil
		}
	}
	return wrong
}

// Unusable is how many hs256 keys the master key does not open, of the newest 10,000 that are neither revoked nor
// expired.
func (k *Keyring) Unusable() int { return int(k.unusable.Load()) }

// countUnusable counts them anew, and says so where the number has changed.
func (k *Keyring) countUnusable(ctx context.Context) {
	if err := k.tryCountUnusable(ctx); err != nil && !errors.Is(err, context.Canceled) {
		k.logger.Warn("the hs256 keys that MASTER_KEY does not open cannot be counted", "error", err)
	}
}

func (k *Keyring) tryCountUnusable(ctx context.Context) error {
	version := k.version.Load()
	if version == k.counted && k.unusable.Load() == 0 {
		return nil // and none of the keys that there are comes to be one
	}
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	newest, err := k.store.SealedInUse(ctx, sealedCounted)
	if err != nil {
		return err
	}
	k.counted = version
	var unusable, of int64
	var why error
	now := k.clock()
	for _, record := range newest {
		if record.served() != nil || record.Expired(now) {
			continue
		}
		of++
		if _, err := k.sealer.Open(record.ID, record.Kind, record.Material); err != nil {
			unusable, why = unusable+1, err
		}
	}
	switch before := k.unusable.Swap(unusable); {
	case unusable == before:
	case errors.Is(why, errNoMasterKey):
		k.logger.Warn("MASTER_KEY is not set: hs256 keys in the store cannot be used, calls with them are answered 503",
			"keys", unusable, "of", of)
	case unusable > 0:
		k.logger.Warn("MASTER_KEY does not open hs256 keys in the store, calls with them are answered 503: "+
			"set the one under which they were made, as MASTER_KEY or as MASTER_KEY_PREVIOUS", "keys", unusable, "of", of)
	default:
		k.logger.Info("every hs256 key in the store can be used", "keys", of)
	}
	return nil
}
