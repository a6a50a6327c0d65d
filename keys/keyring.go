// Package keys is the domain: which keys there are, what each may do, and who a caller is once its token is proven. It
// knows the token but neither HTTP nor SQL.
package keys

import (
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

// SharedID is the name of the shared key, which has no id of its own.
const SharedID = "shared"

// Principal is a caller whose token and key were proven.
type Principal struct {
	// KeyID is the key's id, SharedID for the shared key.
	KeyID string
	// Client is whom the key was issued to.
	Client string
	// Scopes is what this token may do: the key's scopes, narrowed by the token's own.
	Scopes Scopes
	// ExpiresAt is when the token expires, UTC.
	ExpiresAt time.Time
}

// PrincipalKey is the key under which the guard leaves a *Principal among a request's values.
type PrincipalKey struct{}

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

// Keyring holds the keys that tokens are verified with. It is safe for concurrent use.
type Keyring struct {
	shared *Key
}

// NewKeyring makes a keyring with the shared key; one without an API key or a secret is no key, and the keyring then
// accepts nobody.
func NewKeyring(shared SharedKey) *Keyring {
	k := &Keyring{}
	if shared.APIKey == "" || len(shared.Secret) == 0 {
		return k
	}
	k.shared = &Key{
		id:        SharedID,
		client:    SharedID,
		algorithm: shared.Algorithm,
		claim:     sha256.Sum256([]byte(shared.APIKey)),
		scopes:    ScopesOf(AccountsRead, AccountsWrite, StoryspacesRead, StoryspacesWrite),
		verifying: [][]byte{shared.Secret},
	}
	if len(shared.PreviousSecret) > 0 {
		k.shared.verifying = append(k.shared.verifying, shared.PreviousSecret)
	}
	return k
}

// Shared is the key of tokens without a kid; its error is fault.KeyNotAcceptable where there is none.
func (k *Keyring) Shared() (*Key, error) {
	if k.shared == nil {
		return nil, fault.New(fault.KeyNotAcceptable)
	}
	return k.shared, nil
}

// Key is one key, as far as verifying needs it.
type Key struct {
	id, client string
	algorithm  string
	verifying  [][]byte
	// claim is a digest, so that comparing takes the same time whatever the claim's length.
	claim  [sha256.Size]byte
	scopes Scopes
}

// Algorithm is the one JWS algorithm that this key's tokens are signed with.
func (k *Key) Algorithm() string { return k.algorithm }

// VerificationSecrets are the HMAC secrets of which one must verify a token of this key; the current one comes first.
// They are not to be changed.
func (k *Key) VerificationSecrets() [][]byte { return k.verifying }

// Authorize is the check of the apiKey claim of a token that this key has verified, in constant time. It returns what
// the key may do; its error is fault.APITokenIncorrect.
func (k *Key) Authorize(claimed string) (Principal, error) {
	digest := sha256.Sum256([]byte(claimed))
	if subtle.ConstantTimeCompare(digest[:], k.claim[:]) != 1 {
		return Principal{}, fault.New(fault.APITokenIncorrect)
	}
	return Principal{KeyID: k.id, Client: k.client, Scopes: k.scopes}, nil
}
