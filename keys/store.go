package keys

import (
	"context"
	"time"
)

// Changes is the answer to a poll.
type Changes struct {
	// Version is the current version of keys. Epoch grows when an instance joins or leaves the fleet, or changes its shares
	// in a way that the others must hear of at once.
	Version, Epoch int64
	// ServerStarted is when the database server started that answered; zero where there is no server.
	ServerStarted time.Time
	// Keys are those whose version is above the one asked for. Where they are TooMany, they are not read.
	Keys    []Change
	TooMany bool
}

// Change is a key that has changed.
type Change struct {
	Record

	// Age is how long ago it changed, by the store's clock; negative where that is not known.
	Age time.Duration
}

// Instance is what an instance reports of itself.
type Instance struct {
	// Version is the version of keys that it has seen.
	Version int64
	// Shares is the text of a shares.Report. The store does not read it.
	Shares string
}

// Fleet is the answer to a heartbeat.
type Fleet struct {
	// Others is how many live instances there are besides the one that sent the heartbeat.
	Others int
	// Sharing is whether any of them, or the one that sent it, reports shares.
	Sharing bool
}

// Store is what the keyring needs of a store. Its errors are faults; fault.Unavailable when the store cannot be used.
//
// The store has a version of keys. Every change of keys adds one to it in the transaction of the change, and the changed
// keys carry the new version. The version is a row and not a sequence: transactions may commit in another order than that
// in which a sequence numbered them. Last use is no change.
//
// A function that a method takes may be called again, when the transaction has to be repeated.
type Store interface { //nolint:interfacebloat // all that the domain needs of storage, in one place
	// Key reads a key; fault.NotFound without one.
	Key(ctx context.Context, id string) (Record, error)
	// CreateKey writes a new key and its event in one transaction, and returns the key with its version. fault.Conflict when
	// the id is taken.
	CreateKey(ctx context.Context, r Record, e Event) (Record, error)
	// ChangeKey reads a key and calls change, then writes State, ExpiresAt, Material and RotatedTo as change left them, and
	// the event, all in one transaction. Every other column keeps its value, also one that only a newer version of the
	// program knows. Where changed is false, nothing is written and the key is returned as it is. An error of change is
	// returned as it is. fault.NotFound without the key.
	ChangeKey(ctx context.Context, id string, e Event, change func(r *Record) (changed bool, err error)) (Record, error)
	// RotateKey is ChangeKey that also creates the successor that rotate returns. Both keys carry the same new version.
	// fault.Conflict when the key has a successor already.
	RotateKey(ctx context.Context, id string, e Event, rotate func(old *Record) (successor Record, err error)) (old, successor Record, err error)
	// KeysByID reads the keys with the given ids, in any order, without those that do not exist.
	KeysByID(ctx context.Context, ids []string) ([]Record, error)
	// KeyChanges reads what changed since a version, all as of one moment. More than most keys are TooMany.
	KeyChanges(ctx context.Context, since int64, most int) (Changes, error)
	// Listen listens for notifications. It calls notified when it begins, and then whenever keys or the fleet may have
	// changed. It returns nil when ctx ends or where the engine cannot notify, and an error when the connection is lost.
	Listen(ctx context.Context, notified func()) error
	// SealedKeys reads the ids of all hs256 keys, the oldest first.
	SealedKeys(ctx context.Context) ([]string, error)
	// SealedInUse reads the newest hs256 keys that are not revoked, at most most.
	SealedInUse(ctx context.Context, most int) ([]Record, error)
	// TouchKeys sets when keys were last used, all or none. It ignores a time before the one that is there, and an unknown
	// key.
	TouchKeys(ctx context.Context, used map[string]time.Time) error
	// AppendEvents adds rows to the audit, all or none.
	AppendEvents(ctx context.Context, events []Event) error
	// PruneEvents removes the rows of the audit that are older than before.
	PruneEvents(ctx context.Context, before time.Time) error
	// Heartbeat writes that the instance is live, by the store's clock, and has seen the keys as of version. The answer
	// counts the instances whose last heartbeat is not older than maxAge.
	Heartbeat(ctx context.Context, instance string, version int64, maxAge time.Duration) (Fleet, error)
	// Leave removes the instance from the fleet.
	Leave(ctx context.Context, instance string) error
	// Instances reads the instances whose last heartbeat is not older than maxAge.
	Instances(ctx context.Context, maxAge time.Duration) (map[string]Instance, error)
	// UpdateShares reads those instances, calls update with them, and writes the shares of instance that update returns; all
	// in one transaction, of which only one runs at a time. Where urgent is true, the epoch grows, so that the others look
	// at once. fault.NotFound when instance is not among them.
	UpdateShares(ctx context.Context, instance string, maxAge time.Duration,
		update func(live map[string]Instance) (shares string, urgent bool)) error
}
