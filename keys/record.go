package keys

import (
	"context"
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

// Record is a registered key as the store keeps it: everything but the secret half.
type Record struct {
	ID          string
	Client      string
	Kind        keystring.Kind
	Environment keystring.Environment
	Scopes      Scopes
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
}

// Expired says whether the key is past its time.
func (r *Record) Expired(now time.Time) bool {
	return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
}

// Actor is who asks for a change, for the audit.
type Actor struct {
	// Key is the id of the key that called, or "cli" for the command line.
	Key string
	// RequestID and Address are of the HTTP request; "" on the command line.
	RequestID, Address string
}

// Event is a row of the audit. It never holds a secret.
type Event struct {
	At     time.Time
	Actor  Actor
	Action string
	// Target is the key that was changed, or the route that refused.
	Target string
	// Count is how many calls the row stands for; more than 1 only for refusals.
	Count int
}

// The actions of the audit.
const (
	ActionCreate  = "create"
	ActionRotate  = "rotate"
	ActionDisable = "disable"
	ActionEnable  = "enable"
	ActionRevoke  = "revoke"
	ActionRewrap  = "rewrap"
	ActionRefused = "refused"
)

// Store is what the keyring needs of a store. Its errors are faults; fault.Unavailable when the store cannot be used.
//
// Every change of a key moves the store's version of keys on by one, in the transaction of the change: it is a row that
// is updated, never a sequence, because transactions may commit in another order than they took their numbers. The
// changed key carries the new version. Last use is no change.
type Store interface { //nolint:interfacebloat // all that the domain needs of storage, in one place
	// Key reads a key; fault.NotFound without one.
	Key(ctx context.Context, id string) (Record, error)
	// CreateKey keeps a new key together with its event, and returns it with its version. fault.Conflict when the id
	// is taken.
	CreateKey(ctx context.Context, r Record, e Event) (Record, error)
	// ChangeKey reads a key, lets change decide, and writes what it left of State, ExpiresAt, Material and RotatedTo,
	// with the event, all in one transaction. changed false writes nothing and returns the key as it is; an error of
	// change is returned as it is. change may be called again when the transaction has to be tried again.
	ChangeKey(ctx context.Context, id string, e Event, change func(r *Record) (changed bool, err error)) (Record, error)
	// RotateKey is ChangeKey that also creates the successor that rotate returns. Both carry the same new version.
	// fault.Conflict when the key already has a successor.
	RotateKey(ctx context.Context, id string, e Event, rotate func(old *Record) (successor Record, err error)) (old, successor Record, err error)
	// KeyChanges is the current version of keys and the keys whose version is above since, read at one moment.
	KeyChanges(ctx context.Context, since int64) (version int64, changed []Record, err error)
	// SealedKeys are the ids of all hs256 keys.
	SealedKeys(ctx context.Context) ([]string, error)
	// TouchKeys sets when keys were last used, in one transaction; a time before the one that is there is ignored,
	// and so is an unknown key.
	TouchKeys(ctx context.Context, used map[string]time.Time) error
	// AppendEvents adds rows to the audit, in one transaction.
	AppendEvents(ctx context.Context, events []Event) error
	// PruneEvents removes the rows of the audit that are older than before.
	PruneEvents(ctx context.Context, before time.Time) error
	// Beat says that the instance is alive and has seen the keys as of version.
	Beat(ctx context.Context, instance string, version int64, at time.Time) error
	// Leave forgets the instance, when it stops.
	Leave(ctx context.Context, instance string) error
	// Instances are the instances whose last beat is not before since, and the version that each has seen.
	Instances(ctx context.Context, since time.Time) (map[string]int64, error)
}
