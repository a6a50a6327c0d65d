package store

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"

	"github.com/latchkey-api/latchkey/keys"
)

// Backed is a backup, and how to restore it.
type Backed struct {
	// File is the backup; with Input it is read from there instead.
	File  string
	Input io.Reader
	// Revive takes the keys from the backup, and not from the current store.
	Revive bool
	// Event is the restore's row in the audit. With Revive, each key that it enables again gets one, too.
	Event keys.Event
}

// Restored is what a restore did.
type Restored struct {
	// Revived are the keys that are accepted now and were not before. Only Revive does that.
	Revived []keys.Record
	// LeftOut counts the keys of the backup that the current store does not have. Revive leaves out none.
	LeftOut int
	// Copied says that the backup is a copy of a store's file, not made by latchkey backup: what was in its log is missing.
	Copied bool
	// Migrations are those that were applied to the backup.
	Migrations []string
}

// Restore replaces a SQLite store with a backup, while no process has the store open. It keeps the keys, their version and the
// audit of the current store, and takes everything else from the backup. So a key that was revoked after the backup stays
// revoked, and a key that a client has rotated to stays accepted. With Revive the keys are those of the backup. Only then may
// the current store be missing or unreadable.
//
// An interrupted restore leaves the whole old store or the whole new one:
//  1. The old file is locked, and not written to until the backup is known to be good.
//  2. The new store is made beside it.
//  3. The old store is migrated, and its log is copied into its file and removed. A restore that fails after that leaves it with
//     the newest schema.
//  4. The new file takes the place of the old one with one rename.
func Restore(ctx context.Context, o Options, b Backed) (done Restored, err error) {
	if isPostgres(o.URL) {
		return done, errors.New("DATABASE_URL names a PostgreSQL server, and latchkey restore is for SQLite stores: use pg_restore, " +
			"and read in the README which keys that brings back")
	}
	path, err := sqlitePath(o.URL)
	if err != nil {
		return done, err
	}
	path = withoutLinks(path)
	if err := checkBacked(b, path); err != nil {
		return done, err
	}
	current, err := holdCurrent(path, b.Revive)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, current.leave()) }()
	next := &staged{path: path + stagedSuffix, backup: b, environment: o.Environment}
	defer func() {
		if !current.placed {
			err = errors.Join(err, next.remove())
		}
	}()
	if err := next.make(ctx); err != nil {
		return done, err
	}
	if err := current.open(ctx, o.Environment, b.Revive); err != nil {
		return done, err
	}
	done = Restored{Copied: next.copied, Migrations: next.migrations}
	if current.conn != nil {
		if done.LeftOut, err = current.keep(ctx, next.path, b.Revive); err != nil {
			return done, next.unwritable(err)
		}
	}
	if done.Revived, err = next.finish(ctx, current.enabled); err != nil {
		return done, next.unwritable(err)
	}
	return done, current.replace(next.path)
}

// finish writes the restore to the audit of the new store. With Revive it returns the keys that are accepted and not in enabled.
func (s *staged) finish(ctx context.Context, enabled map[string]bool) (revived []keys.Record, err error) {
	file, db, err := s.open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close(), file.close()) }()
	events := []keys.Event{s.backup.Event}
	if s.backup.Revive {
		accepted, err := acceptedKeys(ctx, db)
		if err != nil {
			return nil, err
		}
		for _, r := range accepted {
			if !enabled[r.ID] {
				revived = append(revived, r)
				event := s.backup.Event
				event.Target = r.ID
				events = append(events, event)
			}
		}
	}
	rows, err := eventRows(events...)
	if err != nil {
		return nil, err
	}
	return revived, locked(ctx, db, func() error {
		// A new incarnation, so that no old log belongs to this file. The instances in the backup do not run any more.
		next := strconv.Itoa(int(int32(rand.Uint32()))) //nolint:gosec // any incarnation will do
		for _, statement := range []string{`PRAGMA user_version = ` + next, `DELETE FROM instances`} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		_, err := db.ExecContext(ctx, insertEvents, rows)
		return err
	})
}
