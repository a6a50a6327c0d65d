package keys

import (
	"slices"
	"time"

	"github.com/latchkey-api/latchkey/keys/keystring"
)

// State is what an operator decided about a key. Whether it has expired is a question of the time, not of its state.
type State string

// The states. Revoked is final.
const (
	Enabled  State = "enabled"
	Disabled State = "disabled"
	Revoked  State = "revoked"
)

// States lists them all.
func States() []State { return []State{Enabled, Disabled, Revoked} }

// Known says whether s is one of them.
func (s State) Known() bool { return slices.Contains(States(), s) }

// Record is a registered key as the store keeps it: everything but the secret half.
type Record struct {
	ID          string
	Client      string
	Kind        keystring.Kind
	Environment keystring.Environment
	// Scopes are the names in the row, sorted. One that is not known here may be a newer version's: it grants nothing, is
	// listed all the same, and goes on to a successor.
	Scopes []Scope
	// Rate is in requests a second, 0 for no limit; Burst is how many may come at once.
	Rate  float64
	Burst int
	State State
	// Hint tells the key apart without showing it.
	Hint string
	// Material is what verifies: the public key of an ed25519 key, the sealed key string of an hs256 key.
	Material []byte
	// RotatedTo is the key's successor, RotatedFrom its predecessor; "" for none.
	RotatedTo, RotatedFrom string
	// Times are UTC, whole microseconds. ExpiresAt and LastUsedAt are zero for never.
	CreatedAt, ExpiresAt, LastUsedAt time.Time
	// Version is the store's version of keys that the last change of this one made.
	Version int64
	// Level is what an instance must know to serve the key; see the constant.
	Level int
}

// Expired says whether the key is past its time.
func (r *Record) Expired(now time.Time) bool {
	return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
}
