package keys

import (
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
