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

// Sealer encrypts the key strings of hs256 keys with AES-256-GCM: whoever has only the store can sign no token. A nil Sealer
// has no master key, and all its calls fail.
type Sealer struct {
	current  cipher.AEAD
	previous cipher.AEAD // nil for none
}

// NewSealer takes the master keys, 32 bytes each. The previous one only decrypts, and may be nil. Without a current one the
// Sealer is nil.
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

// Seal encrypts text, and returns nonce and ciphertext. Id and kind are associated data: a ciphertext that was moved to
// another row does not decrypt.
func (s *Sealer) Seal(id string, kind keystring.Kind, text []byte) ([]byte, error) {
	if s == nil {
		return nil, errNoMasterKey
	}
	nonce := make([]byte, s.current.NonceSize())
	_, _ = rand.Read(nonce) // never fails: it ends the process instead
	return s.current.Seal(nonce, nonce, text, associatedData(id, kind)), nil
}

// Open decrypts what was encrypted under the current or the previous master key.
func (s *Sealer) Open(id string, kind keystring.Kind, sealed []byte) ([]byte, error) {
	if s == nil {
		return nil, errNoMasterKey
	}
	for _, aead := range []cipher.AEAD{s.current, s.previous} {
		if aead == nil || len(sealed) < aead.NonceSize() {
			continue
		}
		nonce, text := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
		if opened, err := aead.Open(nil, nonce, text, associatedData(id, kind)); err == nil {
			return opened, nil
		}
	}
	return nil, fmt.Errorf("%w (%s)", errWrongMasterKey, id)
}

func associatedData(id string, kind keystring.Kind) []byte { return []byte(id + "|" + string(kind)) }

const (
	// sealedTries is how many hs256 keys a master key is tried on before it encrypts another one. One may be damaged.
	sealedTries = 5
	// maxSealedCounted is how many hs256 keys countUnusable decrypts at most, so that the time of a start does not grow with
	// the store.
	maxSealedCounted = 10_000
)

// canSeal is nil where hs256 keys can be made. Otherwise it is
//   - errNoMasterKey;
//   - errWrongMasterKey where the keys in the store are encrypted under another master key: the other instances could not
//     decrypt a new one. Revoked keys do not count, so that after the loss of a master key one can start again;
//   - an error of the store.
func (k *Keyring) canSeal(ctx context.Context) error {
	if k.sealer == nil {
		return errNoMasterKey
	}
	newest, err := k.store.SealedInUse(ctx, sealedTries)
	if err != nil {
		return err
	}
	var wrong error
	for _, record := range newest {
		if record.supported() != nil {
			continue
		}
		if _, wrong = k.sealer.Open(record.ID, record.Kind, record.Material); wrong == nil {
			return nil
		}
	}
	return wrong
}

// Unusable is how many hs256 keys the master key does not decrypt, of the newest maxSealedCounted that are neither revoked
// nor expired.
func (k *Keyring) Unusable() int { return int(k.unusable.Load()) }

// countUnusable counts them, and logs a number that has changed.
func (k *Keyring) countUnusable(ctx context.Context) {
	if err := k.tryCountUnusable(ctx); err != nil && !errors.Is(err, context.Canceled) {
		k.logger.Warn("counting the hs256 keys that MASTER_KEY does not open fails", "error", err)
	}
}

func (k *Keyring) tryCountUnusable(ctx context.Context) error {
	version := k.version.Load()
	if version == k.unusableVersion && k.unusable.Load() == 0 {
		return nil // no key has changed, and none becomes unusable by itself
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	newest, err := k.store.SealedInUse(ctx, maxSealedCounted)
	if err != nil {
		return err
	}
	k.unusableVersion = version
	var unusable, total int64
	var why error
	now := k.clock()
	for _, record := range newest {
		if record.supported() != nil || record.Expired(now) {
			continue
		}
		total++
		if _, err := k.sealer.Open(record.ID, record.Kind, record.Material); err != nil {
			unusable, why = unusable+1, err
		}
	}
	switch before := k.unusable.Swap(unusable); {
	case unusable == before:
	case errors.Is(why, errNoMasterKey):
		k.logger.Warn("MASTER_KEY is not set: hs256 keys in the store cannot be used, calls with them are answered 503",
			"keys", unusable, "of", total)
	case unusable > 0:
		k.logger.Warn("MASTER_KEY does not open hs256 keys in the store, calls with them are answered 503: "+
			"set the one under which they were made, as MASTER_KEY or as MASTER_KEY_PREVIOUS", "keys", unusable, "of", total)
	default:
		k.logger.Info("every hs256 key in the store can be used", "keys", total)
	}
	return nil
}
