package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Backup writes a copy of a SQLite store to file, which must not exist; only its owner may read the copy. The store must exist,
// may be in use, and is not migrated.
func Backup(ctx context.Context, o Options, file string) error {
	if isPostgres(o.URL) {
		return errors.New("DATABASE_URL names a PostgreSQL server, and latchkey backup copies SQLite stores only: use pg_dump")
	}
	path, err := sqlitePath(o.URL)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("the store %s cannot be copied: %w", path, reasonOf(err))
	}
	// This refuses a foreign log, which would be copied, and be applied to the store.
	source, err := openSQLiteFile(ctx, path, Options{Existing: true})
	if err != nil {
		return err
	}
	return errors.Join(backupSQLite(ctx, source, file), source.close())
}

// reasonOf removes the path from an error.
func reasonOf(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
	}
	return err
}

// backupSQLite copies the state at one moment while others read and write. It creates the file first, exclusively and for its
// owner only; VACUUM INTO accepts an empty file. After nil the copy is durable.
func backupSQLite(ctx context.Context, source *sqliteFile, file string) (err error) {
	// Absolute, because SQLite reads a name that begins with "file:" as a URL.
	file, err = filepath.Abs(file)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	copied, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if info, statErr := os.Stat(file); statErr == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: name the file that the backup is written to", file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the backup %s cannot be written: make its folder first", file)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s already exists, and a backup never overwrites a file", file)
	}
	if err != nil {
		return fmt.Errorf("the backup cannot be written: %w", err)
	}
	defer func() {
		err = errors.Join(err, copied.Close())
		if err != nil {
			err = fmt.Errorf("the backup %s was not made: %w", file, errors.Join(err, os.Remove(file)))
		}
	}()
	if err := os.Chmod(file, 0o600); err != nil {
		return err
	}
	// A connection of its own: the copy may take long, and the readers' connections may not run VACUUM.
	db, err := sqlitePool(source, "rw", 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "VACUUM INTO $1", file); err != nil {
		return err
	}
	if err := checkCopy(ctx, file); err != nil {
		return err
	}
	return errors.Join(copied.Sync(), syncFolder(filepath.Dir(file)))
}

// checkCopy refuses a damaged copy.
func checkCopy(ctx context.Context, path string) (err error) {
	file, err := newSQLiteFile(path)
	if err != nil {
		return err
	}
	return errors.Join(file.checkWhole(ctx, "rw"), file.close())
}

// BackupTo writes a copy of a SQLite store to w. It makes the copy beside the store first: only a finished copy can be checked.
func BackupTo(ctx context.Context, o Options, w io.Writer) (err error) {
	path, err := sqlitePath(o.URL)
	if isPostgres(o.URL) || err != nil {
		return Backup(ctx, o, "") // which says why not
	}
	name := withoutLinks(path) + "-backup-" + strings.ToLower(rand.Text())
	if err := Backup(ctx, o, name); err != nil {
		return err
	}
	copied, err := os.Open(name)
	if movesOpenFiles { // such a system also removes open files, so that nothing stays behind
		err = errors.Join(err, os.Remove(name))
	}
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, copied.Close())
		if !movesOpenFiles {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	if _, err := io.Copy(w, reading{ctx, copied}); err != nil {
		return fmt.Errorf("the backup was not written: %w", err)
	}
	return nil
}
