package keys

import (
	"context"
	"time"
)

// Changes is what the store says of keys since a version.
type Changes struct {
	// Version is the current version of keys. Turn moves on when an instance comes, goes, or divides limits anew.
	Version, Turn int64
	// Began is when the server began that answered; zero where there is none.
	Began time.Time
	// Keys are those whose version is above the one asked for, unless they are TooMany.
	Keys    []Change
	TooMany bool
}

// Change is a key that has changed.
type Change struct {
	Record

	// Age is how long ago it changed, on the store's clock; negative where that is not known.
	Age time.Duration
}

// Instance is what a process that serves from the store says of itself.
type Instance struct {
	// Version is the version of keys that it has seen.
	Version int64
	// Shares is how much of which limit it lets through; only the keyring reads it.
	Shares string
}

// Fleet is what a heartbeat tells of the instances that live.
type Fleet struct {
	// Others is how many there are beside the one that beats.
	Others int
	// Dividing is whether any of them, or the one that beats, has shares.
	Dividing bool
}

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
	// with the event, all in one transaction. Nothing else of the row changes, whatever a newer version keeps there. changed false writes nothing and returns the key as it is; an error of
	// change is returned as it is. change may be called again when the transaction has to be tried again.
	ChangeKey(ctx context.Context, id string, e Event, change func(r *Record) (changed bool, err error)) (Record, error)
	// RotateKey is ChangeKey that also creates the successor that rotate returns. Both carry the same new version.
	// fault.Conflict when the key already has a successor.
	RotateKey(ctx context.Context, id string, e Event, rotate func(old *Record) (successor Record, err error)) (old, successor Record, err error)
	// KeysByID reads the keys with the given ids, in any order; those that there are not are left out.
	KeysByID(ctx context.Context, ids []string) ([]Record, error)
	// KeyChanges is what changed since a version, read at one moment. More than so many keys are too many, and not read.
	KeyChanges(ctx context.Context, since int64, most int) (Changes, error)
	// Listen calls heard when it begins to listen to the store, and then whenever keys or instances may have changed.
	// It returns nil when ctx ends, or where the engine tells nobody, and an error when the connection is lost.
	Listen(ctx context.Context, heard func()) error
	// SealedKeys are the ids of all hs256 keys, the oldest first.
	SealedKeys(ctx context.Context) ([]string, error)
	// SealedInUse are the newest hs256 keys that are not revoked, at most so many.
	SealedInUse(ctx context.Context, most int) ([]Record, error)
	// TouchKeys sets when keys were last used, all or none; a time before the one that is there is ignored, and so is
	// an unknown key.
	TouchKeys(ctx context.Context, used map[string]time.Time) error
	// AppendEvents adds rows to the audit, all or none.
	AppendEvents(ctx context.Context, events []Event) error
	// PruneEvents removes the rows of the audit that are older than before.
	PruneEvents(ctx context.Context, before time.Time) error
	// Beat says that the instance is alive and has seen the keys as of version, and gives what there is of those that have
	// beaten within the given time. The store's clock says when.
	Beat(ctx context.Context, instance string, version int64, within time.Duration) (Fleet, error)
	// Leave forgets the instance, when it stops.
	Leave(ctx context.Context, instance string) error
	// Instances are the instances that have beaten within the given time.
	Instances(ctx context.Context, within time.Duration) (map[string]Instance, error)
	// DivideLimits gives divide those instances, and keeps what it answers as the shares of the one named; told moves
	// the turn of the fleet on, so that the others look. No two instances divide at the same time. fault.NotFound when
	// instance is not among them. divide may be called again when the transaction has to be tried again.
	DivideLimits(ctx context.Context, instance string, within time.Duration,
		divide func(map[string]Instance) (shares string, told bool)) error
}
