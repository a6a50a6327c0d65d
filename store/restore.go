package store

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"

	"github.com/latchkey-api/latchkey/keys"
)

// Backed says which backup is restored, and how.
type Backed struct {
	// File is the backup; with Input it is read from there instead.
	File  string
	Input io.Reader
	// Revive takes the keys of the backup.
	Revive bool
	// Event is the row of the audit that tells of it. With Revive each key that is enabled by it gets one, too.
	Event keys.Event
}

// Restored tells what a restore did.
type Restored struct {
	// Revived are the keys that are accepted now and were not before; without Revive there are none.
	Revived []keys.Record
	// LeftOut counts the keys of the backup that the store before had never heard of; with Revive none is left out.
	LeftOut int
	// Copied says that the backup was not made by latchkey backup: it is the copy of a store, and what was in the log of that
	// store is not in it.
	Copied bool
	// Migrations were applied to the backup.
	Migrations []string
}

// Restore puts a backup of a SQLite store in its place, while nobody has the store open. The keys, their version and the
// audit stay those of the current store, so that no key is accepted again that was revoked since the backup, and none is
// refused that a client has rotated to; everything else is the backup's. With Revive the keys are those of the backup, also
// where there is no current store or it cannot be read, which is refused without.
//
// Whenever it is interrupted, the old store or the new one is there, whole. The new one is made beside the old one, whose
// log is first brought into its file and removed, and takes its place in one step of the file system. The old file is
// locked from the beginning, and is not written to before the backup is known to be good. A restore that fails after that
// leaves the old store with the newest schema.
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

// finish says in the new store that it was restored. It returns the keys that are accepted by it and are not in enabled.
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
		// It is no log's that was there before. And whoever served from the store of the backup serves no more.
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
