package keys

import (
	"slices"
	"time"

	"github.com/latchkey-api/latchkey/keys/keystring"
)

// State is what an operator decided about a key. Expiry is no state: it follows from the time.
type State string

// The states. Revoked is final.
const (
	Enabled  State = "enabled"
	Disabled State = "disabled"
	Revoked  State = "revoked"
)

// States lists them all.
func States() []State { return []State{Enabled, Disabled, Revoked} }

// Known reports whether s is one of them.
func (s State) Known() bool { return slices.Contains(States(), s) }

// Record is the row of a registered key: everything but the secret half.
type Record struct {
	ID          string
	Client      string
	Kind        keystring.Kind
	Environment keystring.Environment
	// Scopes are sorted. An unknown one may be from a newer version of the program: it grants nothing, but is listed, and a
	// successor has it, too.
	Scopes []Scope
	// Rate is in requests a second, 0 for no limit. Burst is how many requests may come at once.
	Rate  float64
	Burst int
	State State
	// Hint tells the key apart without showing it.
	Hint string
	// Material verifies tokens: it is the public key of an ed25519 key, the encrypted key string of an hs256 key.
	Material []byte
	// RotatedTo is the key's successor, RotatedFrom its predecessor; "" for none.
	RotatedTo, RotatedFrom string
	// Times are UTC, whole microseconds. ExpiresAt and LastUsedAt are zero for never.
	CreatedAt, ExpiresAt, LastUsedAt time.Time
	// Version is the store's version of keys after the last change of this key.
	Version int64
	// Level is the level that an instance needs to serve the key; see the constant Level.
	Level int
}

// Expired says whether the key is past its time.
func (r *Record) Expired(now time.Time) bool {
	return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
}
