package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	sqlite3 "modernc.org/sqlite/lib"
)

// checkBacked refuses a file that cannot be a backup.
func checkBacked(b Backed, path string) error {
	if b.Input != nil {
		return nil
	}
	info, err := os.Stat(b.File)
	if err != nil {
		return b.refused("cannot be read: %w", reasonOf(err))
	}
	now, err := os.Stat(path)
	switch {
	case info.IsDir():
		return b.refused("is a folder: name the file that latchkey backup wrote")
	case !info.Mode().IsRegular():
		return b.refused("is no file: latchkey restore - reads a backup from standard input")
	case err == nil && os.SameFile(info, now):
		return b.refused("is the store itself: name the file that latchkey backup wrote")
	}
	for _, name := range stagedNames(path + stagedSuffix) {
		if taken, err := os.Stat(name); err == nil && os.SameFile(info, taken) {
			return b.refused("has a name that the restore itself uses: rename it")
		}
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		if log := withoutLinks(b.File) + suffix; size(log) > 0 {
			return b.refused("has a log beside it, %s, so it is no backup but a store: make a backup of it with "+
				"DATABASE_URL=sqlite:%s latchkey backup FILE, and restore that", log, b.File)
		}
	}
	return nil
}

// refused is the error for a backup that is not restored.
func (b Backed) refused(format string, args ...any) error {
	name := b.File
	if b.Input != nil {
		name = "on standard input"
	}
	return fmt.Errorf("the backup %s "+format+"; the store stays as it was", append([]any{name}, args...)...)
}

// staged is the new store, which is made from the backup beside the old one.
type staged struct {
	path        string
	backup      Backed
	environment string

	copied     bool // see Restored.Copied
	migrations []string
}

// remove removes the files of a new store that is not in place.
func (s *staged) remove() error {
	return removeFiles(stagedNames(s.path)...)
}

const stagedSuffix = "-restore"

// stagedNames are the files of the new store while it is made.
func stagedNames(path string) []string {
	return []string{path, path + "-journal", path + "-wal", path + "-shm"}
}

// make copies the backup, checks it, and migrates it.
func (s *staged) make(ctx context.Context) (err error) {
	if err := s.remove(); err != nil { // of an interrupted restore
		return err
	}
	if err := s.copy(ctx); err != nil {
		return err
	}
	file, db, err := s.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(), file.close()) }()
	damage, err := quickCheck(ctx, db)
	if err == nil && damage == "" {
		err = s.prepare(ctx, db)
	}
	var made environmentError
	var major majorError
	switch {
	case isDamage(err):
		damage = malformed
		fallthrough
	case damage != "":
		return s.backup.refused("is damaged (%s): restore another one", damage)
	case errors.Is(err, ErrNoStore), errors.Is(err, errForeign):
		return s.backup.refused("has no store of Latchkey in it: restore one that latchkey backup wrote")
	case errors.As(err, &made):
		return s.backup.refused("is of another environment, made for %s, and this process runs for %s: restore it there", made.made, made.runs)
	case errors.As(err, &major):
		return s.backup.refused("cannot be used, %w: restore it with a latchkey of that version", major)
	case sqliteCode(err) == sqlite3.SQLITE_FULL, sqliteCode(err) == sqlite3.SQLITE_IOERR:
		return s.unwritable(err)
	case err != nil:
		return s.backup.refused("cannot be used: %w", err)
	}
	return nil
}

func (s *staged) prepare(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, "PRAGMA journal_mode = DELETE"); err != nil {
		return err
	}
	done, err := migrate(ctx, db, sqliteDialect("BEGIN IMMEDIATE"), opening{environment: s.environment, existing: true})
	s.migrations = done.applied
	return err
}

// copy copies the bytes of the backup.
func (s *staged) copy(ctx context.Context) (err error) {
	from := s.backup.Input
	if from == nil {
		file, err := os.Open(s.backup.File)
		if err != nil {
			return s.backup.refused("cannot be read: %w", reasonOf(err))
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		from = file
	}
	to, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return unwritable(s.path, err)
	}
	copied, err := io.Copy(to, reading{ctx, from})
	var h sqliteHeader
	if err == nil {
		h, err = readHeader(to)
	}
	err = errors.Join(err, to.Close())
	s.copied = h.logged
	switch {
	case err != nil:
		return s.backup.refused("cannot be copied to %s: %w", s.path, reasonOf(err))
	case copied == 0:
		return s.backup.refused("is empty: restore another one")
	case !h.sqlite:
		return s.backup.refused("is no SQLite database: restore a file that latchkey backup wrote, and decompress it first if it is compressed")
	}
	return nil
}

// unwritable turns an error of SQLite into a sentence.
func (s *staged) unwritable(err error) error {
	if sqliteCode(err) == 0 {
		return err
	}
	return fmt.Errorf("the new store %s cannot be written: %w; the store stays as it was", s.path, err)
}

// open opens the new store. The caller closes both.
func (s *staged) open() (*sqliteFile, *sql.DB, error) {
	file, err := newSQLiteFile(s.path)
	if err != nil {
		return nil, nil, err
	}
	db, err := sqlitePool(file, "rw", 1, "synchronous(FULL)")
	if err != nil {
		return nil, nil, errors.Join(err, file.close())
	}
	return file, db, nil
}

// reading is a reader that ends with ctx.
type reading struct {
	ctx  context.Context //nolint:containedctx // for one copy
	from io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}

// removeFiles removes the files that exist.
func removeFiles(paths ...string) error {
	var failed error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
