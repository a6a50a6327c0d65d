package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

const (
	nextKeyVersion = `UPDATE key_version SET value = value + 1 RETURNING value`

	insertKey = `INSERT INTO keys (` + keyColumns + `, changed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, ` + clock + `) RETURNING ` + keyColumns

	updateKey = `UPDATE keys SET state = $2, expires_at = $3, material = $4, rotated_to = $5, version = $6, changed_at = ` + clock + `
		WHERE id = $1 RETURNING ` + keyColumns
)

// CreateKey writes a new key and its event in one transaction, and returns the key with its version. Conflict when the id is
// taken, or when the predecessor that the key names has another successor. Invalid when a text cannot be stored.
func (s *Store) CreateKey(ctx context.Context, r keys.Record, e keys.Event) (keys.Record, error) {
	if !storableEvents(e) {
		return keys.Record{}, fault.New(fault.Invalid)
	}
	var made keys.Record
	err := s.changeKeys(ctx, e, func(ctx context.Context, tx keyChange) (err error) {
		made, err = tx.create(ctx, r)
		return err
	})
	if err != nil {
		return keys.Record{}, err
	}
	return made, nil
}

// ChangeKey reads a key and calls change, then writes State, ExpiresAt, Material and RotatedTo as change left them, and the
// event, all in one transaction. It returns the key as it is then. Where changed is false, nothing is written. NotFound
// without the key. An error of change is returned as it is. change may be called again, when the transaction has to be
// repeated.
func (s *Store) ChangeKey(
	ctx context.Context, id string, e keys.Event, change func(r *keys.Record) (changed bool, err error),
) (keys.Record, error) {
	if !storableEvents(e) {
		return keys.Record{}, fault.New(fault.Invalid)
	}
	var result keys.Record
	err := s.changeKeys(ctx, e, func(ctx context.Context, tx keyChange) error {
		var err error
		if result, err = tx.find(ctx, id); err != nil {
			return err
		}
		wanted := copied(result)
		changed, err := change(&wanted)
		if err != nil {
			return decisionError{err}
		}
		if !changed {
			return decisionError{}
		}
		result, err = tx.update(ctx, wanted, id)
		return err
	})
	if err != nil {
		return keys.Record{}, err
	}
	return result, nil
}

// RotateKey is ChangeKey that also creates the successor that rotate returns, and names each of the two keys in the other.
// Conflict when the key has a successor already, before rotate is called, or when the successor's id is taken.
func (s *Store) RotateKey(
	ctx context.Context, id string, e keys.Event, rotate func(old *keys.Record) (successor keys.Record, err error),
) (old, successor keys.Record, err error) {
	if !storableEvents(e) {
		return keys.Record{}, keys.Record{}, fault.New(fault.Invalid)
	}
	err = s.changeKeys(ctx, e, func(ctx context.Context, tx keyChange) error {
		found, err := tx.find(ctx, id)
		if err != nil {
			return err
		}
		if found.RotatedTo != "" {
			return fault.New(fault.Conflict)
		}
		wanted := copied(found)
		next, err := rotate(&wanted)
		if err != nil {
			return decisionError{err}
		}
		wanted.RotatedTo, next.RotatedFrom = next.ID, id
		if old, err = tx.update(ctx, wanted, id); err != nil {
			return err
		}
		successor, err = tx.create(ctx, next)
		return err
	})
	if err != nil {
		return keys.Record{}, keys.Record{}, err
	}
	return old, successor, nil
}

// keyChange is a transaction that changes keys, and their new version.
type keyChange struct {
	tx      transaction
	version int64
}

// decisionError rolls a transaction back because change or rotate decided so, with or without an error of their own. It never
// leaves changeKeys.
type decisionError struct{ cause error }

func (decisionError) Error() string { return "decided by the caller" }

// changeKeys runs use in a transaction that adds one to the version of keys and writes the event. The version comes first: its
// row is locked to the end, so that on every engine changes run one after the other, and each reads what the one before wrote.
func (s *Store) changeKeys(ctx context.Context, e keys.Event, use func(context.Context, keyChange) error) error {
	event, err := eventRows(e)
	if err != nil {
		return s.fault(err)
	}
	err = s.keyWriter.transaction(ctx, func(ctx context.Context, tx transaction) error {
		change := keyChange{tx: tx}
		err := tx.queryRow(ctx, nextKeyVersion).Scan(&change.version)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.Wrap(fault.Internal, errNoVersion)
		}
		if err != nil {
			return err
		}
		if err := use(ctx, change); err != nil {
			return err
		}
		_, err = tx.exec(ctx, insertEvents, event)
		return err
	})
	if decided, ok := errors.AsType[decisionError](err); ok {
		return decided.cause
	}
	return s.fault(err)
}

func (c keyChange) find(ctx context.Context, id string) (keys.Record, error) {
	if !storable(id) {
		return keys.Record{}, fault.New(fault.NotFound)
	}
	return scanKey(c.tx.queryRow(ctx, selectKey, id))
}

func (c keyChange) create(ctx context.Context, r keys.Record) (keys.Record, error) {
	if !storableKey(&r) {
		return keys.Record{}, fault.New(fault.Invalid)
	}
	r.Version = c.version
	return scanKey(c.tx.queryRow(ctx, insertKey, keyArgs(&r)...))
}

// update writes what may change of a key.
func (c keyChange) update(ctx context.Context, r keys.Record, id string) (keys.Record, error) {
	if !storable(string(r.State), r.RotatedTo) {
		return keys.Record{}, fault.New(fault.Invalid)
	}
	return scanKey(c.tx.queryRow(
		ctx, updateKey, id, r.State, micros(r.ExpiresAt), r.Material, r.RotatedTo, c.version))
}

// copied is a deep copy of r.
func copied(r keys.Record) keys.Record {
	r.Material, r.Scopes = slices.Clone(r.Material), slices.Clone(r.Scopes)
	return r
}
